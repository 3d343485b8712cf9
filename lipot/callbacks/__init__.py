"""Callbacks for robust training: kernels, features, weights, attack, loss, clock, backups."""

from lipot.callbacks.backup import Backup
from lipot.callbacks.distance_norm import DistanceNormScheduler
from lipot.callbacks.features import FeatureMonitor
from lipot.callbacks.kernels import CondenseCallback, MonitorCallback
from lipot.callbacks.loss_parameters import LossParamLog, LossParamScheduler
from lipot.callbacks.radius_schedule import RadiusSchedule
from lipot.callbacks.time_budget import TimeBudget
from lipot.callbacks.weight_perturbation import AdversarialWeightPerturbation
from lipot.callbacks.weight_schedule import WeightSchedule
