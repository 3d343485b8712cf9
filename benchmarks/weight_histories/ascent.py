"""Looks for another prediction within each certified radius.

Every point is attacked by normalized gradient ascent on its margin, from several starts in its own
ball. The directions found are then followed as rays: to the sphere of the certified radius, and on
to the nearest change of prediction, which is bisected. A distance is the one between the points
that the model is really given, in float64.
"""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from benchmarks.weight_histories.answers import read
from lipot import backend

STARTS, STEPS = 3, 15
BISECTIONS = 18
# A ray is followed up to this many radii.
FARTHEST = 64.0
ON_THE_SPHERE = 1.0 - 1e-7


class Attack(NamedTuple):
    """What an attack found.

    Attributes:
        broken: Certificates with another prediction within the radius.
        broken_on_sphere: Those of them broken by a point on a ray at the radius times 1 - 1e-7.
        nearest: `(n,)`, distance of the nearest change of prediction, in radii; infinite where
            none was found within 64.
    """

    broken: int
    broken_on_sphere: int
    nearest: np.ndarray


class Target:
    """A model whose programs are compiled once, for batches of one size."""

    def __init__(self, model, predictions):
        self.model, self.predictions = model, predictions
        self.dtype = keras.backend.standardize_dtype(model.inputs[0].dtype)
        self._forward = backend.compile_over(model, lambda forward, x: forward(x))
        self._slope = backend.compile_over(model, _slope)
        units = model.output_shape[-1]
        # Of one unit the sign that leads away from its class, of several the class.
        self._own = (
            np.where(predictions[:, None] == 1, 1.0, -1.0)
            if units == 1
            else np.eye(units)[predictions]
        ).astype("float32")

    def changed(self, x):
        """Whether each prediction differs from the certified one."""
        return read(self.model, _numpy(self._forward(x))) != self.predictions

    def slope(self, x):
        return _numpy(self._slope(x, self._own))

    def given(self, x, shift):
        """The points a shift leads to, rounded as the model is given them, and their distances."""
        moved = (x.astype("float64") + shift).astype(self.dtype)
        return moved, lengths(moved.astype("float64") - x.astype("float64"))


def attack(model, certificate, x, rng):
    """Attacks every certificate with a radius above zero; returns an `Attack`."""
    finite = np.minimum(certificate.radius, 1e6)
    target = Target(model, certificate.predictions)
    certified = certificate.radius > 0.0
    broken, on_sphere = np.zeros(len(x), bool), np.zeros(len(x), bool)
    nearest = np.full(len(x), np.inf)
    for start in range(STARTS):
        shift, found = _ascend(target, x, finite, start, rng)
        broken |= found
        unit = shift / _column(np.maximum(lengths(shift), 1e-300), x)
        moved, distance = target.given(x, unit * _column(ON_THE_SPHERE * finite, x))
        on_sphere |= (distance <= certificate.radius) & target.changed(moved)
        nearest = np.minimum(nearest, _nearest_change(target, x, unit, finite))
    broken |= on_sphere | (nearest <= certificate.radius)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(certified, nearest / certificate.radius, np.inf)
    return Attack(int(np.sum(broken & certified)), int(np.sum(on_sphere & certified)), ratio)


def _ascend(target, x, radius, start, rng):
    """Gradient ascent in each ball; returns the last shifts and where a prediction changed."""
    noise = rng.normal(size=x.shape)
    # From the centre, from anywhere within, and from the sphere.
    length = (1e-3, rng.uniform(size=len(x)), 1.0)[start % 3] * radius
    shift = noise / _column(lengths(noise), x) * _column(length, x)
    found = np.zeros(len(x), bool)
    for step in range(STEPS):
        moved, distance = target.given(x, shift)
        if step % 5 == 4:
            found |= (distance <= radius) & target.changed(moved)
        slope = target.slope(moved).astype("float64")
        size = np.maximum(lengths(slope), 1e-300)
        # The last steps are short: the best point of a ball is often a fixed point of the ascent.
        shift = shift + slope * _column(radius * (1.0 if step < STEPS // 2 else 0.2) / size, x)
        shift = shift * _column(
            np.minimum(1.0, ON_THE_SPHERE * radius / np.maximum(lengths(shift), 1e-300)), x
        )
    moved, distance = target.given(x, shift)
    return shift, found | ((distance <= radius) & target.changed(moved))


def _nearest_change(target, x, unit, radius):
    """Distance along a ray of the first change of prediction that doubling and halving meet."""
    low, high = np.zeros(len(x)), np.full(len(x), np.inf)
    for factor in 2.0 ** np.arange(-3.0, np.log2(FARTHEST) + 1.0):
        moved, _ = target.given(x, unit * _column(factor * radius, x))
        change = target.changed(moved) & np.isinf(high)
        high = np.where(change, factor * radius, high)
        low = np.where(np.isinf(high), factor * radius, low)
    nearest = np.full(len(x), np.inf)
    for _ in range(BISECTIONS):
        middle = np.where(np.isinf(high), 0.0, 0.5 * (low + np.where(np.isinf(high), 0.0, high)))
        moved, distance = target.given(x, unit * _column(middle, x))
        change = target.changed(moved) & np.isfinite(high)
        nearest = np.where(change, np.minimum(nearest, distance), nearest)
        low, high = np.where(change, low, middle), np.where(change, middle, high)
    return nearest


def _slope(forward, x, own):
    def margin(v):
        outputs = ops.cast(forward(v), "float32")
        if outputs.shape[-1] == 1:
            return -ops.sum(outputs * own)
        others = ops.max(outputs - 1e9 * own, axis=-1)
        return ops.sum(others - ops.sum(outputs * own, axis=-1))

    return backend.value_and_input_gradient(margin, x)[1]


def near_boundary(model, x, rng):
    """Points shortly before a change of prediction, where rounding weighs most.

    Args:
        model: The model.
        x: `(n, ...)` points; each is paired with another one and moved between the two.
        rng: NumPy generator.

    Returns:
        `(n, ...)` points of the same dtype; where both of a pair are of one class, the first.
    """
    forward = backend.compile_over(model, lambda forward, x: forward(x))

    def read_at(share):
        return read(model, _numpy(forward((wide + _column(share, x) * way).astype(x.dtype))))

    wide = x.astype("float64")
    way = wide[rng.permutation(len(x))] - wide
    low, high = np.zeros(len(x)), np.ones(len(x))
    first, last = read_at(low), read_at(high)
    for _ in range(24):
        middle = 0.5 * (low + high)
        same = read_at(middle) == first
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    back = low * (1.0 - 10.0 ** rng.uniform(-7.0, -1.0, size=len(x)))
    return (wide + _column(np.where(first == last, 0.0, back), x) * way).astype(x.dtype)


def lengths(shift):
    return np.linalg.norm(shift.reshape(len(shift), -1).astype("float64"), axis=1)


def _column(values, x):
    return np.reshape(values, (-1,) + (1,) * (x.ndim - 1))


def _numpy(tensor):
    dtype = keras.backend.result_type(keras.backend.standardize_dtype(tensor.dtype), "float32")
    return ops.convert_to_numpy(ops.cast(tensor, dtype))
