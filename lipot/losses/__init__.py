"""Hinge-KR losses and losses over clean and adversarial pairs."""

from lipot.losses.adversarial_crossentropy import AdversarialCrossentropy
from lipot.losses.hinge import CategoricalHinge, HingeMargin, MulticlassHinge, MultiMargin
from lipot.losses.hkr import HKR, MulticlassHKR
from lipot.losses.kr import KR, MulticlassKR
from lipot.losses.tau_crossentropy import (
    TauBinaryCrossentropy,
    TauCategoricalCrossentropy,
    TauSparseCategoricalCrossentropy,
)
