"""Classifiers whose distances are known, and an attack that always finds what is near enough."""

import keras
import numpy as np

from lipot.evaluation import AttackSpec

QUIET = {"sanity": False, "views": False, "progress": False, "clip_values": (0, 1)}
STEP = ([[5.0, -5.0], [0.0, 0.0]], [-2.5, 2.5])


def linear(kernel, bias, *before, after=()):
    """A linear classifier: its distances to the decision are known exactly."""
    kernel = np.asarray(kernel, "float32")
    dense = keras.layers.Dense(kernel.shape[1])
    model = keras.Sequential([keras.Input(kernel.shape[:1]), *before, dense, *after])
    dense.set_weights([kernel, np.asarray(bias, "float32")])
    return model


class Crossing:
    """Moves every point across the line x_0 = 0.5, by a given length."""

    def __init__(self, by):
        self.by = by

    def generate(self, x, y):
        moved = x.copy()
        moved[:, 0] -= self.by
        return moved


def spec(name, by, *norms, calls):
    def build(target, norm, eps):
        calls.append((name, round(float(eps), 6)))
        return Crossing(by)

    return AttackSpec(name, build, distance_norms=norms)
