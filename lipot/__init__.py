"""Robust classifiers from optimal transport, in Keras."""

from lipot import callbacks, certify, constraints, initializers, interop, layers, regularizers
from lipot.certify import lipschitz_constant
from lipot.interop import to_keras
from lipot.models.sequential import Model, Sequential

__version__ = "0.1.0"
