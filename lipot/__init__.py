"""Robust classifiers from optimal transport, in Keras."""

from lipot import (
    attacks,
    callbacks,
    certify,
    constraints,
    datasets,
    initializers,
    interop,
    layers,
    losses,
    metrics,
    models,
    regularizers,
)
from lipot.certify import lipschitz_constant
from lipot.interop import to_keras
from lipot.models import OTAD, AdversarialModel, CIPNet, OTClassifier
from lipot.models.sequential import Model, Sequential

__version__ = "0.1.0"
