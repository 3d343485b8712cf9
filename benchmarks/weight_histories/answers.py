"""What a model answers, asked in every way there is."""

import keras
import numpy as np
from keras import ops

import lipot


def numbers(outputs):
    """Outputs of a model as a NumPy array that holds them exactly."""
    wide = keras.backend.result_type(keras.backend.standardize_dtype(outputs.dtype), "float32")
    return ops.convert_to_numpy(ops.cast(outputs, wide))


def classes(outputs):
    """Class numbers: the largest output, or the sign of a single one."""
    outputs = np.asarray(outputs)
    return (outputs[:, 0] > 0).astype(int) if outputs.shape[1] == 1 else outputs.argmax(axis=1)


def border(model):
    """Output at which a model of one unit changes its class."""
    activation = getattr(model.layers[-1], "activation", None)
    return 0.5 if activation is keras.activations.sigmoid else 0.0


def read(model, outputs):
    """Class numbers out of a model's outputs."""
    outputs = np.asarray(outputs, "float64")
    return classes(outputs - border(model)) if outputs.shape[1] == 1 else classes(outputs)


def disagreements(model, certificate, x, folder, exported):
    """Counts certified points at which an answer is another class than the certified one.

    Args:
        model: The model.
        certificate: Its certificate on `x`.
        x: The points.
        folder: Where files may be written.
        exported: Whether to try a SavedModel too, which takes seconds; on TensorFlow alone.

    Returns:
        `(counts, refusals)`: number of disagreements by way of asking, and why a way was closed.
    """
    certified, counts, refusals = certificate.radius > 0.0, {}, {}
    ways = {
        "predict": lambda: model.predict(x, verbose=0),
        "model(x)": lambda: numbers(model(x)),
        "fresh": lambda: numbers(fresh(model)(x)),
        "file": lambda: _from_file(model, x, folder),
        "to_keras": lambda: numbers(lipot.to_keras(model)(x)),
    }
    if exported and keras.backend.backend() == "tensorflow":
        ways["SavedModel"] = lambda: _from_saved_model(model, x, folder)
    for name, way in ways.items():
        try:
            found = read(model, _float(way()))
        except ValueError as error:
            if name != "to_keras":
                raise
            refusals[name] = str(error).splitlines()[0]
            continue
        counts[name] = int(np.sum(certified & (found != certificate.predictions)))
    return counts, refusals


def fresh(model):
    """A copy of a model that never had another weight.

    Of a layer with a kernel it is given the trainable weights alone: they decide the kernel.
    """
    copy = keras.models.clone_model(model)
    for new, old in zip(copy.layers, model.layers, strict=True):
        all_of_them = not hasattr(old, "inference_kernel")
        for mine, its in zip(new.weights, old.weights, strict=True):
            if all_of_them or mine.trainable:
                # On JAX a shared array is gone once a program of the one has donated it.
                mine.assign(ops.convert_to_numpy(its.value))
    return copy


def _float(array):
    # NumPy has no bfloat16 of its own.
    return np.asarray(array).astype("float64")


def _from_file(model, x, folder):
    file = folder / "model.keras"
    # Without the optimizer: on JAX Keras shares its averages with weights that it gives away.
    keras.Model(model.inputs[0], model.outputs[0]).save(file)
    return keras.saving.load_model(file, safe_mode=True).predict(x, verbose=0)


def _from_saved_model(model, x, folder):
    path = folder / "exported"
    model.export(path, verbose=False)
    return numbers(keras.layers.TFSMLayer(path, call_endpoint="serve")(x))
