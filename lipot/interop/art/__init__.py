"""Attacks of the Adversarial Robustness Toolbox (ART) on Keras models."""

from lipot.interop.art.builder import classifier
from lipot.interop.art.suite import auto_attack
