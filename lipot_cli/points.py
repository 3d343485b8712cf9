"""Points and models that a command is given by name or by file."""

import pathlib
import zipfile
import zlib
from typing import Any, NamedTuple

import keras
import numpy as np

from lipot import datasets, models
from lipot.math.proportions import in_percent, share_interval
from lipot_cli.options import check_input

_PRESET = "preset:"


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
    check_input(source, f"an .npz file, or one of: {', '.join(datasets.names())}")
    if pathlib.Path(source).suffix == ".keras":
        raise ValueError(f"{source} is a model. Expected the model first, and the points after it.")
    x, y = read_arrays(source, ("x", "y"), ("x_test", "y_test"))
    if x.ndim == 0 or y.ndim == 0:
        raise ValueError(
            f"{source} does not hold points and labels, but single numbers. Expected x of shape "
            f"(points, ...) and y of shape (points,). Received: shapes {x.shape} and {y.shape}"
        )
    return Points(x[:limit], y[:limit], None)


def read_arrays(source, *choices):
    """Reads the first choice of arrays, a tuple of names, that an `.npz` file holds."""
    # NumPy takes a file that is no archive for a pickle.
    if not zipfile.is_zipfile(source):
        raise _unreadable(source)
    try:
        with np.load(source, allow_pickle=False) as arrays:
            keys = _keys(source, arrays.files, choices)
            return tuple(_array(source, arrays, key) for key in keys)
    except zipfile.BadZipFile as error:
        raise _unreadable(source) from error


def _array(source, arrays, key):
    try:
        return arrays[key]
    except ValueError as error:
        raise ValueError(
            f"{source} holds Python objects under {key!r}, which are not read. Expected an array "
            "of numbers."
        ) from error


def _unreadable(source):
    return ValueError(
        f"{source} is no .npz file, or a damaged one. Expected what "
        "numpy.savez(file, x=points, y=labels) writes."
    )


def _keys(source, names, choices):
    for keys in choices:
        if set(keys) <= set(names):
            return keys
    expected = ", or ".join(f"{', '.join(keys[:-1])} and {keys[-1]}" for keys in choices)
    raise ValueError(
        f"{source} does not hold points and labels. Expected arrays {expected}. "
        f"Received: {', '.join(names) or 'none'}"
    )


def range_option(*points):
    """The option of `lipot evaluate` that gives the range of some points, to the last digit.

    Example:

    >>> range_option(np.array([-0.5, 1.0]), np.array([2.0]))
    '--range -0.5 2'
    """
    ends = min(map(np.min, points)), max(map(np.max, points))
    # Not -1e-05, which argparse takes for an option.
    words = (np.format_float_positional(np.float32(end), trim="-") for end in ends)
    return " ".join(["--range", *words])


def read_model(path, x):
    """Loads a model, of a file or by `preset:NAME`, and checks that it takes the points `x`."""
    model = _preset(path) if path.startswith(_PRESET) else _load(path)
    inputs = getattr(model, "inputs", None) or ()
    # A model that is no graph of layers states no shape.
    expected = inputs[0].shape[1:] if len(inputs) == 1 else x.shape[1:]
    if not _fits(x.shape[1:], expected):
        raise ValueError(
            f"The points do not fit {path}. Expected inputs of shape {expected}. "
            f"Received: {x.shape[1:]}"
        )
    return model


def _preset(path):
    name, known = path.removeprefix(_PRESET), models.presets()
    if name not in known:
        raise ValueError(f"There is no {path}. Expected one of: {', '.join(known)}")
    return models.from_preset(name)


def _load(path):
    preset = f"{_PRESET}{path if path in models.presets() else 'NAME'}"
    check_input(path, f"a model that `model.save` wrote, or {preset}")
    suffixes = pathlib.Path(path).suffixes
    if suffixes[-2:] == [".weights", ".h5"]:
        raise ValueError(
            f"{path} holds weights alone. Expected a model: build it, load the weights into it, "
            "and save it with model.save('model.keras')."
        )
    # Keras would say of others that there is no such file, or speak of formats that it reads.
    if suffixes[-1:] not in ([".keras"], [".h5"], [".hdf5"]) or (
        suffixes[-1] == ".keras" and not zipfile.is_zipfile(path)
    ):
        raise ValueError(
            f"{path} is no model, or a damaged one. Expected a .keras or .h5 file that "
            "`model.save` wrote."
        )
    try:
        return keras.saving.load_model(path, compile=False)
    except (KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is no model that `model.save` wrote: {error}") from error


def labels_hint(predictions, labels):
    """Says where labels seem to be off by one: worse than chance, and right once shifted.

    Args:
        predictions: Class numbers `(n,)`.
        labels: Class numbers, one-hot rows, or -1 and 1.

    Returns:
        One line, or `None`.

    Example:

    >>> labels_hint(np.array([0, 1, 2, 3]), np.array([1, 2, 3, 4]))
    'Hint: 0.0 % are right, but 100.0 % would be if every label were one lower. ...'
    """
    labels = _class_numbers(labels)
    classes = 1 + max(predictions.max(), labels.max())
    right = np.mean(predictions == labels)
    # Halfway between chance and certainty: a poor model is not to blame its labels.
    enough = (1.0 + 1.0 / classes) / 2.0
    for shift, how in ((-1, "lower"), (1, "higher")):
        shifted = np.mean(predictions == (labels + shift) % classes)
        # Of a few points that many may be right by chance.
        certain = share_interval(shifted, len(labels)).low > 1.0 / classes
        if right < 1.0 / classes and shifted > enough and certain:
            how = f"one {how}" if classes > 2 else "the other one"
            return (
                f"Hint: {in_percent(right, 1)} % are right, but {in_percent(shifted, 1)} % would "
                f"be if every label were {how}. Do the labels count the classes as the model "
                "does, from 0?"
            )
    return None


def _class_numbers(labels):
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] > 1:
        return labels.argmax(axis=1)
    labels = labels.reshape(-1)
    return (labels > 0).astype(int) if labels.min() < 0 else labels.astype(int)


def _fits(shape, expected):
    """Whether inputs have the shape that a model states, `None` standing for any size."""
    sizes = zip(shape, expected)
    return len(shape) == len(expected) and all(e in (None, size) for size, e in sizes)
