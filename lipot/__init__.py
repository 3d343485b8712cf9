"""Robust classifiers from optimal transport, in Keras."""

__version__ = "0.1.0"
