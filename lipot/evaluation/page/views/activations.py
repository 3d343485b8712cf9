"""How strongly a network's units respond to clean and to attacked inputs."""

import dataclasses

import numpy as np

from lipot.evaluation.page.views.hidden import features, layer_outputs
from lipot.evaluation.record.view import View

_POINTS = 256


@dataclasses.dataclass(frozen=True, eq=False)
class Activations(View):
    """Magnitudes of the activations, clean against attacked.

    Attributes:
        layer: Name of the layer that reads the features.
        clean: Mean magnitude of each channel of the features on clean inputs, `(channels,)`,
            from the largest down.
        adversarial: The same channels on attacked inputs.
        layers: Names of all layers, in order; empty where the model shows none.
        change: For each layer, the mean of `|h(x_adv) - h(x)| / |h(x)|` in l2.

    Reference:
        OTJR, figure 2, for the magnitudes of the penultimate layer.
    """

    layer: str
    clean: np.ndarray
    adversarial: np.ndarray
    layers: tuple
    change: np.ndarray


def activations(subject):
    """Makes the `Activations` of a `Subject`."""
    x, x_adv = subject.x[:_POINTS], subject.x_adv[:_POINTS]
    before, after = features(subject.model, x), features(subject.model, x_adv)
    clean, attacked = _channels(before.values), _channels(after.values)
    order = np.argsort(-clean, kind="stable")
    changes = _changes(subject.model, x, x_adv)
    return Activations(
        layer=before.layer,
        clean=clean[order],
        adversarial=attacked[order],
        layers=tuple(changes),
        change=np.array(list(changes.values())),
    )


def _channels(values):
    """Mean magnitude of each channel over examples and positions."""
    return np.mean(np.abs(values, dtype="float64"), axis=tuple(range(values.ndim - 1)))


def _changes(model, x, x_adv):
    before, after = layer_outputs(model, x), layer_outputs(model, x_adv)
    return {name: _relative_change(before[name], after[name]) for name in before}


def _relative_change(before, after):
    before, after = (np.asarray(v, "float64").reshape(len(v), -1) for v in (before, after))
    sizes = np.linalg.norm(before, axis=1)
    moved = np.linalg.norm(after - before, axis=1)
    alive = sizes > 0.0
    return float(np.mean(moved[alive] / sizes[alive])) if alive.any() else 0.0
