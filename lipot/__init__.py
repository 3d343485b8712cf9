"""Robust classifiers from optimal transport, in Keras."""

from lipot import layers
from lipot.models.sequential import Model, Sequential

__version__ = "0.1.0"
