"""A certified model as a file for another runtime, checked, with its certificate beside it."""

import hashlib
import importlib
import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from lipot import backend, certificates, checks, extras
from lipot.interop.plain import to_keras

# How far float32 sums in another order may lie apart, of the largest output.
_TOLERANCE = 1e-4
_POINTS = 16


class Exported(NamedTuple):
    """What `export` wrote.

    Attributes:
        path: The file, or the folder of a SavedModel.
        certificate: The file with the certificate, or `None` where the model has none.
        difference: Largest difference between an output of the file and one of `predict`.
        proof: Whether the certificate holds for the file, in words.
    """

    path: pathlib.Path
    certificate: pathlib.Path | None
    difference: float
    proof: str


class _Format(NamedTuple):
    """A kind of file: what writes it, what runs it, and what says what becomes of the proof."""

    write: Callable
    run: Callable
    proof: Callable


def export(model: keras.Model, path: str | pathlib.Path, x: Any = None, y: Any = None) -> Exported:
    """Writes a model for another runtime, runs what it wrote, and puts the certificate beside it.

    The copy is made of stock Keras layers, see `to_keras`. What was written is run on the points
    and must answer as `predict` does. The certificate goes to `path` with
    `.certificate.json` after it: radii and predictions of the points, the Lipschitz constant, the
    digest of the file, and whether the proof holds there.

    Args:
        model: Built Keras model with one input.
        path: `.keras`, `.onnx` (needs tf2onnx, and onnxruntime to run it) or `.tflite` (needs
            TensorFlow); without a suffix, the folder of a SavedModel. On PyTorch `.keras` alone,
            which TensorFlow loads and exports.
        x: Points to check and certify; 16 random ones in [0, 1] by default.
        y: Labels of the points, for the certified accuracy.

    Returns:
        `Exported`.

    Raises:
        ValueError: The path has another suffix, or the model is no graph of layers.
        RuntimeError: What was written does not answer as `predict` does.

    Example:

    >>> import keras, lipot, tempfile
    >>> model = keras.Sequential([keras.Input((4,)), lipot.layers.SpectralDense(2)])
    >>> found = lipot.interop.export(model, tempfile.mkdtemp() + "/served.keras")
    >>> found.proof[:4], found.certificate.name, found.difference < 1e-6
    ('kept', 'served.keras.certificate.json', True)
    """
    path = checks.path("path", path)
    known = ", ".join(sorted(filter(None, _FORMATS)))
    if path.suffix not in _FORMATS:
        raise checks.invalid("path", f"a path that ends in {known}, or has no suffix", str(path))
    if path.suffix != ".keras" and keras.backend.backend() == "torch":
        alone = "a path that ends in .keras on PyTorch: load that on TensorFlow and export it"
        raise checks.invalid("path", alone, str(path))
    format_ = _FORMATS[path.suffix]
    plain = to_keras(model)
    x = _points(plain) if x is None else checks.array("x", x, "an array of points")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Keras asks what it exports to have been called.
    plain(x[:1])
    format_.write(plain, path)
    expected = np.asarray(model.predict(x, verbose=0))
    difference = _checked(np.asarray(format_.run(path, x.astype("float32"))), expected, path)
    proof = format_.proof(plain, path)
    return Exported(
        path, _write_certificate(model, path, x, y, difference, proof), difference, proof
    )


def _points(model: keras.Model) -> np.ndarray:
    shape = tuple(model.inputs[0].shape[1:])
    if None in shape:
        raise checks.refused(
            "x",
            "points, as the model takes inputs of any size",
            f"x=None for inputs of shape {shape}",
        )
    return np.random.default_rng(0).uniform(size=(_POINTS, *shape)).astype("float32")


def _checked(found: np.ndarray, expected: np.ndarray, path: pathlib.Path) -> float:
    difference = float(np.abs(found - expected).max()) if found.shape == expected.shape else np.inf
    if not difference <= _TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise RuntimeError(
            f"{path} does not answer as the model does: outputs of shape {found.shape} that differ "
            f"by up to {difference:.3g}. Expected a difference of at most {_TOLERANCE:g} of the "
            "largest output."
        )
    return difference


def _write_certificate(
    model: keras.Model, path: pathlib.Path, x: np.ndarray, y: Any, difference: float, proof: str
) -> pathlib.Path | None:
    try:
        certificate = certificates.certify(model, x, y)
    except ValueError:
        return None
    record = {
        "model": path.name,
        "sha256": _digest(path),
        "proof": proof,
        "norm": "l2",
        "lipschitz": certificate.lipschitz,
        "radius": [float(radius) for radius in certificate.radius],
        "predictions": certificate.predictions.tolist(),
        "correct": None if certificate.correct is None else certificate.correct.tolist(),
        "largest difference from predict": difference,
    }
    beside = path.with_name(f"{path.name}.certificate.json")
    beside.write_text(json.dumps(record, indent=1))
    return beside


def _digest(path: pathlib.Path) -> str:
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(path.parent).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


def _write_onnx(model: keras.Model, path: pathlib.Path) -> None:
    _need("tf2onnx")
    # A constant that is a tensor would become an input of the file.
    free = keras.models.clone_model(
        model, clone_function=lambda operation: operation, call_function=_called_on_arrays
    )
    free(np.zeros([n or 1 for n in model.inputs[0].shape], "float32"))
    free.export(str(path), format="onnx", verbose=False)


def _called_on_arrays(operation: Callable, *args: Any, **kwargs: Any) -> Any:
    def array(leaf: Any) -> Any:
        is_constant = keras.ops.is_tensor(leaf) and not keras.utils.is_keras_tensor(leaf)
        return keras.ops.convert_to_numpy(leaf) if is_constant else leaf

    args, kwargs = keras.tree.map_structure(array, (args, kwargs))
    return operation(*args, **kwargs)


def _run_onnx(path: pathlib.Path, x: np.ndarray) -> np.ndarray:
    onnxruntime = _need("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    (outputs,) = session.run(None, {session.get_inputs()[0].name: x})
    return outputs


def _proof_in_onnx(model: keras.Model, path: pathlib.Path) -> str:
    """Whether the converter left the kernels as they are, bit by bit, however it turned them."""
    onnx = _need("onnx")
    stored = onnx.load(str(path)).graph.initializer
    kept = {_values(onnx.numpy_helper.to_array(tensor)) for tensor in stored}
    weights = (keras.ops.convert_to_numpy(weight) for weight in model.weights)
    changed = [weight for weight in weights if weight.ndim > 1 and _values(weight) not in kept]
    if changed:
        return (
            f"not kept: the converter changed {len(changed)} kernels, as it does to fold a "
            "normalization into them; the radii are those of the Keras model"
        )
    return (
        "kept where the runtime adds float32 products directly and changes no weights: in "
        "onnxruntime with ORT_DISABLE_ALL, since its optimizations fold layers into each other"
    )


def _values(array: np.ndarray) -> bytes:
    return np.sort(array, axis=None).tobytes()


def _need(package: str) -> Any:
    with extras.named():
        return importlib.import_module(package)


_FORMATS = {
    ".keras": _Format(
        lambda model, path: model.save(path),
        lambda path, x: keras.saving.load_model(path).predict(x, verbose=0),
        lambda model, path: "kept: the same layers run the same arithmetic",
    ),
    "": _Format(
        lambda model, path: model.export(str(path), format="tf_saved_model", verbose=False),
        lambda path, x: keras.layers.TFSMLayer(str(path), call_endpoint="serve")(x),
        lambda model, path: "kept: TensorFlow runs the same graph in float32",
    ),
    ".onnx": _Format(_write_onnx, _run_onnx, _proof_in_onnx),
    ".tflite": _Format(
        lambda model, path: model.export(str(path), format="litert", verbose=False),
        backend.run_lite,
        lambda model, path: (
            "not kept: the converter may fold layers into each other; the radii are those of the "
            "Keras model, whose answers the file gives on these points"
        ),
    ),
}
