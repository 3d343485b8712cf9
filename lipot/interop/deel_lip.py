"""Weights that deel-lip saved, for the same network built of lipot's layers."""

import io
import pathlib
import re
import zipfile

import h5py
import keras
import numpy as np

from lipot import checks
from lipot.layers.kernel_layer import KernelLayer
from lipot.layers.parametrizations import Frobenius, Spectral

# What deel-lip makes of a stock layer bears that one's name in a file.
_OF_KERAS = {"PReLUlip": "PReLU"}


def load_weights(model: keras.Model, file: str | pathlib.Path) -> None:
    """Gives a model the weights of a network that deel-lip saved.

    The layers with weights are matched one by one, in their order; what deel-lip keeps beside
    kernel and bias is left out. A constrained layer gets the kernel that deel-lip's answers with at
    inference, which is that of the last training step, or of `condense`. lipot makes it exactly
    orthonormal, where deel-lip's iteration stops near that; and divides the kernel of a
    convolution by a proven norm, where deel-lip's divides by an average. With
    `SpectralConv2D(..., normalization="average")` both answer alike.

    Args:
        model: Built Keras model, flat: the network of the file out of lipot's and Keras's layers.
        file: Path of a `.keras`, `.h5` or `.weights.h5` file, of a whole model or of its weights,
            written with deel-lip on Keras 2.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is none of these, or its layers do not fit the model's.

    Example:

    >>> import keras, lipot, h5py, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "saved.weights.h5")
    >>> with h5py.File(path, "w") as saved:
    ...     for place, values in enumerate((np.eye(2), np.ones(2))):
    ...         saved[f"layers/spectral_dense/vars/{place}"] = values
    >>> model = keras.Sequential([keras.Input((2,)), lipot.layers.SpectralDense(2)])
    >>> lipot.interop.deel_lip.load_weights(model, path)
    >>> [float(output) for output in model(np.zeros((1, 2)))[0]]
    [1.0, 1.0]
    """
    checks.built_model("model", model)
    layers = [layer for layer in model.layers if layer.weights]
    saved = _saved_layers(checks.path("file", file), layers)
    if len(saved) != len(layers):
        raise _misfit(layers, [name for name, _ in saved])
    # Nothing is changed unless everything fits.
    found = [_assignments(layer, *values) for layer, values in zip(layers, saved)]
    for variable, value in (pair for pairs in found for pair in pairs):
        variable.assign(value)


def _assignments(layer, name, values):
    """Pairs of a variable of a layer and its value among those that deel-lip saved for it."""
    if isinstance(layer, KernelLayer):
        variables = [layer.kernel] if layer.bias is None else [layer.kernel, layer.bias]
        if isinstance(layer.parametrization, Spectral | Frobenius):
            values = _constrained(values, *variables)
    else:
        variables = layer.weights
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [value.shape for value in values]:
        raise checks.refused(
            "file",
            f"shapes {shapes} for layer '{layer.name}'",
            f"{[value.shape for value in values]}, of '{name}'",
        )
    return list(zip(variables, values))


def _constrained(values, kernel, bias=None):
    """The kernel that is applied, which comes last, and the bias, which comes second."""
    applied = [value for value in values if value.shape == tuple(kernel.shape)][-1:]
    has_bias = len(values) > 1 and values[1].ndim == 1
    if has_bias != (bias is not None):
        return values
    return [*applied, values[1]] if has_bias else applied


def _names_by_class(layers):
    counts, names = {}, []
    for layer in layers:
        name = _OF_KERAS.get(type(layer).__name__, type(layer).__name__)
        name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
        name = re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
        count = counts[name] = counts.get(name, -1) + 1
        names.append(f"{name}_{count}" if count else name)
    return names


def _saved_layers(path, layers):
    """Names of the saved layers with weights and their arrays, in the order of the model."""
    content = path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if "model.weights.h5" not in archive.namelist():
                raise _no_file_of_keras(path)
            content = archive.read("model.weights.h5")
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            if "layers" in file:
                return _numbered(file["layers"], layers)
            return [(name, values) for name, values in _named(file) if values]
    except (OSError, KeyError) as error:
        raise _no_file_of_keras(path) from error


def _numbered(group, layers):
    """Layers of Keras's newer format, which keeps no order but names them by class and number."""
    saved = {
        name: [np.asarray(layer["vars"][number]) for number in sorted(layer["vars"], key=int)]
        for name, layer in group.items()
        if len(layer.get("vars", ()))
    }
    names = _names_by_class(layers)
    if set(names) != set(saved):
        raise _misfit(layers, saved)
    return [(name, saved[name]) for name in names]


def _named(file):
    """Layers of the older format, in their order."""
    group = file.get("model_weights", file)
    for name in map(_text, group.attrs["layer_names"]):
        paths = map(_text, group[name].attrs["weight_names"])
        yield name, [np.asarray(group[name][path]) for path in paths]


def _text(name):
    return name.decode() if isinstance(name, bytes) else str(name)


def _misfit(layers, saved):
    expected = ", ".join(f"{layer.name} ({type(layer).__name__})" for layer in layers)
    return checks.refused(
        "file",
        f"weights of {len(layers)} layers: {expected or 'none'}",
        f"{len(saved)}: {', '.join(saved) or 'none'}",
    )


def _no_file_of_keras(path):
    return checks.refused("file", "a .keras or .h5 file of a model or of its weights", str(path))
