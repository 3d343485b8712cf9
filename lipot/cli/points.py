"""Points and models that a command is given by name or by file."""

import pathlib
from typing import Any, NamedTuple

import keras
import numpy as np

from lipot import datasets

DATA_HELP = "an .npz file with arrays x and y, or x_test and y_test; or the test points of one of: "


class Points(NamedTuple):
    """Inputs `x`, labels `y`, and the range of an input, where it is known."""

    x: Any
    y: Any
    clip_values: Any


def read_points(source, limit=None):
    """Reads points from a data set's name or from a file.

    Args:
        source: One of `lipot.datasets.names()`, or the path of an `.npz` file.
        limit: How many points to keep, the first ones; `None` for all.

    Returns:
        `Points`.
    """
    if source in datasets.names():
        data = datasets.load(source)
        return Points(data.x_test[:limit], data.y_test[:limit], data.clip_values)
    if not pathlib.Path(source).is_file():
        raise ValueError(
            f"There is no file {source}. Expected an .npz file, or one of: "
            f"{', '.join(datasets.names())}"
        )
    with np.load(source, allow_pickle=False) as arrays:
        for keys in (("x", "y"), ("x_test", "y_test")):
            if set(keys) <= set(arrays.files):
                x, y = (arrays[key] for key in keys)
                return Points(x[:limit], y[:limit], None)
        raise ValueError(
            f"{source} does not hold points and labels. Expected arrays x and y, or x_test "
            f"and y_test. Received: {', '.join(arrays.files) or 'none'}"
        )


def read_model(path, x):
    """Loads a model and checks that it takes the points `x`."""
    if not pathlib.Path(path).is_file():
        raise ValueError(f"There is no file {path}. Expected a model that `model.save` wrote.")
    model = keras.saving.load_model(path, compile=False)
    # A model that is no graph of layers, such as OTAD, states no shape.
    expected = model.input_shape[1:] if getattr(model, "inputs", None) else x.shape[1:]
    if x.shape[1:] != expected:
        raise ValueError(
            f"The points do not fit {path}. Expected inputs of shape {expected}. "
            f"Received: {x.shape[1:]}"
        )
    return model
