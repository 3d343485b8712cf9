"""Files for other runtimes answer as the model does, and say whether the proof holds there."""

import hashlib
import json

import keras
import numpy as np
import pytest

import lipot
from lipot.interop import export
from lipot.layers import (
    FrobeniusDense,
    FullSort,
    GroupSort2,
    Householder,
    ScaledL2NormPooling2D,
    SpectralConv2D,
    SpectralDense,
)

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="Keras exports most formats on TensorFlow."
)
RNG = np.random.default_rng(0)
X = RNG.uniform(size=(6, 8, 8, 1)).astype("float32")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            SpectralConv2D(4, 3, padding="circular"),
            GroupSort2(),
            ScaledL2NormPooling2D(2),
            keras.layers.Flatten(),
            SpectralDense(8, activation=FullSort()),
            Householder(),
            FrobeniusDense(3),
        ]
    )


def folding():
    """A network whose normalization a converter folds into the kernel before it."""
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    drawn = [RNG.uniform(0.5, 1.5, weight.shape) for weight in network.layers[1].weights]
    network.layers[1].set_weights(drawn)
    return network


def written(model, path):
    for package in ("tf2onnx", "onnxruntime") if path.suffix == ".onnx" else ():
        pytest.importorskip(package)
    return export(model, path, X, [0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize(
    ("name", "proof"),
    [("a.keras", "kept:"), ("folder", "kept:"), ("a.onnx", "kept where"), ("a.tflite", "not kept")],
)
def test_every_format_answers_as_predict_does(model, tmp_path, name, proof):
    found = written(model, tmp_path / "deep" / name)
    assert found.path.exists() and found.difference < 1e-5 and found.proof.startswith(proof)
    record = json.loads(found.certificate.read_text())
    expected = lipot.certify(model, X, [0, 1, 2, 0, 1, 2])
    assert record["predictions"] == expected.predictions.tolist()
    assert record["correct"] == expected.correct.tolist()
    np.testing.assert_allclose(record["radius"], expected.radius, rtol=1e-3)
    assert record["proof"] == found.proof and record["norm"] == "l2"
    if found.path.is_file():
        named = found.path.name.encode() + found.path.read_bytes()
        assert record["sha256"] == hashlib.sha256(named).hexdigest()


def test_a_kernel_that_a_converter_folds_loses_the_proof(tmp_path):
    found = written(folding(), tmp_path / "folded.onnx")
    assert found.proof.startswith("not kept: the converter changed 1 kernels")


def test_a_file_that_answers_otherwise_is_an_error(model, tmp_path, monkeypatch):
    from lipot.interop.exported import _FORMATS

    other = _FORMATS[".keras"]._replace(run=lambda path, x: np.zeros((len(x), 3)))
    monkeypatch.setitem(_FORMATS, ".keras", other)
    with pytest.raises(RuntimeError, match="does not answer as the model does"):
        export(model, tmp_path / "wrong.keras", X)


def test_what_cannot_be_certified_has_no_certificate(tmp_path):
    layers = [keras.layers.Dense(4), keras.layers.LayerNormalization(), keras.layers.Dense(2)]
    found = export(keras.Sequential([keras.Input((3,)), *layers]), tmp_path / "plain.keras")
    assert found.certificate is None and found.path.exists()


def test_other_suffixes_and_sizes_are_refused(model, tmp_path):
    with pytest.raises(ValueError, match="`path`. Expected a path that ends in .keras, .onnx"):
        export(model, tmp_path / "model.h5")
    pooled = keras.Sequential([keras.Input((None, None, 1)), keras.layers.GlobalAveragePooling2D()])
    with pytest.raises(ValueError, match="`x`. Expected points"):
        export(pooled, tmp_path / "any.keras")
