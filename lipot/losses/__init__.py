"""Hinge-KR losses and losses over clean and adversarial pairs."""

from lipot.losses.adversarial_crossentropy import AdversarialCrossentropy
from lipot.losses.adversarial_loss import AdversarialLoss
from lipot.losses.alp import ALP
from lipot.losses.certificate_regularization import CertificateRegularizedCrossentropy
from lipot.losses.clipped_hinge import ClippedHingeCrossentropy
from lipot.losses.gloro import GloRo, GloRoTRADES
from lipot.losses.got import GOT
from lipot.losses.hinge import CategoricalHinge, HingeMargin, MulticlassHinge, MultiMargin
from lipot.losses.hkr import HKR, MulticlassHKR
from lipot.losses.jacobian import OptimalJacobian, RandomJacobian
from lipot.losses.kr import KR, MulticlassKR
from lipot.losses.lbgat import LBGAT
from lipot.losses.margin_crossentropy import EMMA, MarginCategoricalCrossentropy
from lipot.losses.mart import MART
from lipot.losses.metric_learning import ContrastiveLoss, TripletLoss
from lipot.losses.paired import PairedBatch, PairedLoss
from lipot.losses.sinkhorn import SinkhornDivergence
from lipot.losses.sliced_wasserstein import SlicedWasserstein
from lipot.losses.soft_hkr import LogSumExpHKR, SoftHKR
from lipot.losses.tau_crossentropy import (
    TauBinaryCrossentropy,
    TauCategoricalCrossentropy,
    TauSparseCategoricalCrossentropy,
)
from lipot.losses.trades import TRADES
