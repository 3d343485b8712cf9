"""What a report says besides its accuracies: of the model, of the data, of when and where."""

import collections
import datetime
import platform

import keras

from lipot import backend, checks
from lipot.backend.keras_graph import all_layers
from lipot.workers import available_cores


def about(model: keras.Model, notes: dict | None = None) -> dict[str, str]:
    """Describes a model in a few words, and adds those of its user.

    Args:
        model: Built Keras model.
        notes: Dictionary of texts, such as `{"training": "12 min on one GPU"}`; an
            `"architecture"` takes the place of the one found here.

    Returns:
        Dictionary from `"architecture"`, `"parameters"` and the names of the notes to texts.

    Example:

    >>> import keras
    >>> layers = [keras.layers.Dense(8), keras.layers.ReLU(), keras.layers.Dense(2)]
    >>> about(keras.Sequential([keras.Input((4,)), *layers]), {"training": "1 s"})
    {'architecture': '2 Dense', 'parameters': '58', 'training': '1 s'}
    """
    notes = checks.instance("notes", notes, dict | None, "a dictionary of texts, or None") or {}
    found = {"architecture": _architecture(model), "parameters": f"{model.count_params():,}"}
    return {**found, **{str(name): str(text) for name, text in notes.items()}}


def circumstances(shape: tuple, classes: int) -> dict[str, str]:
    """Says what points an evaluation is about, when it is made, and on what machine.

    Args:
        shape: Shape of the points, `(n, ...)`.
        classes: Number of classes of the model.

    Returns:
        Dictionary from `"data"`, `"date"` and `"machine"` to texts.

    Example:

    >>> circumstances((60, 8, 8, 1), 10)["data"]
    '60 points of 8 x 8 x 1, 10 classes'
    """
    size = " x ".join(map(str, shape[1:]))
    device = ", ".join(backend.accelerators()) or "no accelerator"
    count = available_cores()
    cores = "one core" if count == 1 else f"{count} cores"
    machine = f"{platform.system()} on {platform.machine()}, {cores}, {device}"
    return {
        "data": f"{shape[0]} points of {size}, {classes} classes",
        "date": datetime.date.today().isoformat(),
        "machine": f"{machine}, {keras.backend.backend()}",
    }


def _architecture(model: keras.Model) -> str:
    # What holds other layers is seen in them.
    leaves = (layer for layer in all_layers(model) if len(all_layers(layer)) == 1)
    kernels = (layer for layer in leaves if any(len(weight.shape) > 1 for weight in layer.weights))
    counts = collections.Counter(type(layer).__name__ for layer in kernels)
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or type(model).__name__
