"""The scale of the inputs that a model was trained on, as far as its own first layers tell."""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from lipot import notices
from lipot.backend.keras_graph import steps
from lipot.certificates.graph import graph_of

# Grey and colour images are no smaller, and bytes show half of their range.
_LEAST_SIDE, _BYTES = 4, 255.0
# Enough to see a scale, few enough for any model.
_POINTS = 256
# What normalization leaves of data it was made for: a spread around 1, outliers included.
_LEAST_SPREAD, _LARGEST = 0.05, 30.0
# Pixels that only had their mean taken off keep their scale, and lie on both sides of 0.
_BOTH_SIDES = 0.2
_NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.Normalization,
    keras.layers.Rescaling,
)


class InputScale(NamedTuple):
    """What a model's first layers make of some points, before any kernel sees them.

    Attributes:
        low: About the least value they give.
        high: About the greatest.
        fits: Whether that is what kernels are trained on: neither nearly constant nor far from 1.
    """

    low: float
    high: float
    fits: bool


def input_scale(model: keras.Model, x: np.ndarray) -> InputScale | None:
    """Says what a model's own preprocessing makes of some points.

    A `Rescaling`, a `Normalization`, a `BatchNormalization` before the first kernel, or plain
    arithmetic there, shows the scale of the data that the kernels were trained on.

    Args:
        model: Built Keras model.
        x: Points `(n, ...)`.

    Returns:
        `InputScale`, or `None` where the model shows no graph or changes no value, or there is
        nothing to see in the points.

    Example:

    >>> layers = [keras.layers.Rescaling(1 / 255), keras.layers.Dense(2)]
    >>> model = keras.Sequential([keras.Input((2,)), *layers])
    >>> input_scale(model, np.array([[0.0, 255.0]])).fits, input_scale(model, np.eye(2)).fits
    (True, False)
    """
    x = np.asarray(x[:_POINTS], "float32")
    if x.size == 0 or not np.all(np.isfinite(x)):
        return None
    read = _read_by_first_kernel(model, x)
    if read is None or _same_values(read, x):
        return None
    # A pixel that is nearly always black has a tiny variance, and a few huge values.
    low, high = np.quantile(read, [0.005, 0.995])
    return InputScale(float(low), float(high), _fits(low, high))


def _fits(low, high):
    spread = high - low
    both_sides = min(-low, high) >= _BOTH_SIDES * spread
    return bool(spread >= _LEAST_SPREAD and (max(-low, high) <= _LARGEST or both_sides))


def _same_values(read, x):
    ends = [(float(values.min()), float(values.max())) for values in (read, x)]
    return np.allclose(*ends, rtol=1e-4, atol=1e-6)


def _read_by_first_kernel(model, x):
    """What the first layer with a kernel reads, inside inner models too; `None` without one."""
    while True:
        try:
            graph = graph_of(model)
        except ValueError:
            return None
        first = next((step for step in steps(graph) if _has_kernel(step.operation)), None)
        if first is None or len(first.inputs) != 1 or len(graph.inputs) != 1:
            return None
        before = keras.Model(graph.inputs, first.inputs[0])
        x = ops.convert_to_numpy(before(ops.convert_to_tensor(x), training=False))
        if not isinstance(first.operation, keras.Model):
            return x.astype("float32")
        model = first.operation


def _has_kernel(operation):
    if isinstance(operation, _NORMALIZATIONS):
        return False
    return any(len(weight.shape) > 1 for weight in getattr(operation, "weights", ()))


def are_images(shape: tuple) -> bool:
    """Whether inputs `(n, ...)` are grey or colour images, by their shape."""
    if len(shape) == 3:
        rows, columns = shape[1:]
        # Several series over time have this rank too.
        return rows == columns >= _LEAST_SIDE
    if len(shape) != 4:
        return False
    first, middle, last = shape[1:]
    sides = (first, middle) if last in (1, 3) else (middle, last)
    return (last in (1, 3) or first in (1, 3)) and min(sides) >= _LEAST_SIDE


def warn_of_pixels(model: keras.Model, x: object) -> None:
    """Warns of images up to 255 where nothing in the model brings them down.

    A network that was trained on [0, 1] answers nearly as before there, and its radii look 255
    times as large.

    Args:
        model: Built Keras model.
        x: Points, an array; anything else is left alone.
    """
    if not isinstance(x, np.ndarray) or not are_images(x.shape) or not len(x):
        return
    seen = np.asarray(x[:_POINTS])
    bytes_ = seen.dtype.kind in "uif" and seen.min() >= 0 and _BYTES / 2 <= seen.max() <= _BYTES
    if bytes_ and input_scale(model, seen) is None:
        notices.warn(pixels_untold())


def pixels_untold() -> str:
    """What to say of images up to 255 of which no layer shows that they belong to the model."""
    return (
        "The inputs reach 255, and nothing in the model tells whether it was trained on such: one "
        "that was trained on [0, 1] looks 255 times as robust as it is. Divide the inputs by 255, "
        "or make a keras.layers.Rescaling(1 / 255) the first layer."
    )
