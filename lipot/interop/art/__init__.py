"""Attacks of the Adversarial Robustness Toolbox (ART) on Keras models."""

import warnings

with warnings.catch_warnings():
    # ART announces on import that it runs without PyTorch.
    warnings.filterwarnings("ignore", message="PyTorch not found")
    from lipot.interop.art.builder import classifier
    from lipot.interop.art.suite import auto_attack
