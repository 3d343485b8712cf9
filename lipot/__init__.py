"""Robust classifiers from optimal transport, in Keras."""

from lipot import interop, layers
from lipot.interop import to_keras
from lipot.models.sequential import Model, Sequential

__version__ = "0.1.0"
