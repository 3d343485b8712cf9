"""Callbacks for training 1-Lipschitz networks: kernels, the loss, the clock, backups."""

from lipot.callbacks.backup import Backup
from lipot.callbacks.distance_norm import DistanceNormScheduler
from lipot.callbacks.kernels import CondenseCallback, MonitorCallback
from lipot.callbacks.loss_parameters import LossParamLog, LossParamScheduler
from lipot.callbacks.time_budget import TimeBudget
