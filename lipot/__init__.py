"""Robust classifiers from optimal transport, in Keras."""

from lipot import extras

# Keras cannot be imported without a framework.
with extras.named():
    from lipot import (
        attacks,
        callbacks,
        certificates,
        constraints,
        datasets,
        initializers,
        interop,
        layers,
        losses,
        metrics,
        models,
        optimizers,
        purifiers,
        regularizers,
    )
    from lipot.certificates import certify, lipschitz_constant
    from lipot.interop import to_keras
    from lipot.models import OTAD, AdversarialModel, CIPNet, OTClassifier
    from lipot.models.sequential import Model, Sequential

__version__ = "0.1.0"

_EVALUATION = ("RobustnessReport", "compare", "evaluate")


def __getattr__(name):
    # The attacks take seconds to import: only who asks for them waits.
    if name in _EVALUATION:
        with extras.named():
            from lipot import evaluation

        return getattr(evaluation, name)
    raise AttributeError(f"module 'lipot' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_EVALUATION])
