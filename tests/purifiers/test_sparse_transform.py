"""The sparse transform: what it learns, and its derivatives."""

import keras
import numpy as np
from keras import ops

from lipot import backend
from lipot.math import sparse_coding
from lipot.purifiers import SparseTransform
from tests.helpers import to_numpy

SETTINGS = {"size": 3, "strides": 3, "weight": 0.1, "iterations": 60}


def transform_of(x, **settings):
    model = SparseTransform(**{**SETTINGS, **settings})
    model(x)
    return model


def test_the_gradient_of_the_dictionary_is_that_of_the_minimum():
    """The codes move with the dictionary, and the minimum does not notice."""
    x = np.random.default_rng(0).uniform(size=(2, 6, 6, 1)).astype("float32")
    model = transform_of(x, atoms=4)
    first = to_numpy(model.dictionary.value)

    def least(dictionary):
        model.dictionary.assign(dictionary)
        losses = model.purification_losses(ops.convert_to_tensor(x), None, False)
        return float(ops.stop_gradient(ops.mean(losses)))

    model.compile(keras.optimizers.SGD(1.0))
    model.train_on_batch(x)
    found = first - to_numpy(model.dictionary.value)
    rng, step = np.random.default_rng(1), 1e-2
    for _ in range(3):
        direction = rng.normal(size=first.shape).astype("float32")
        slope = (least(first + step * direction) - least(first - step * direction)) / (2 * step)
        assert np.isclose(np.sum(found * direction), slope, rtol=0.02, atol=2e-3)


def test_its_exact_derivative_is_that_of_finite_differences():
    x = np.random.default_rng(0).uniform(0.2, 0.8, size=(1, 3, 3, 1)).astype("float32")
    model = transform_of(x)
    weights = np.arange(9.0, dtype="float32").reshape(3, 3, 1)
    value = lambda z: ops.sum(ops.multiply(weights, model(z, training=False)))  # noqa: E731
    gradient = backend.compile(lambda z: backend.value_and_input_gradient(value, z)[1])
    found = gradient(ops.convert_to_tensor(x))
    # Atoms are orthonormal: the derivative projects onto those that are in use.
    flat = to_numpy(model.unit_atoms()).reshape(9, 9)
    used = np.abs(flat.T @ x.ravel()) > SETTINGS["weight"]
    expected = flat[:, used] @ flat[:, used].T @ weights.ravel()
    assert 0 < used.sum() < 9
    assert np.allclose(to_numpy(found).ravel(), expected, atol=1e-3)


def test_a_learned_dictionary_has_atoms_of_length_one():
    x = np.random.default_rng(0).uniform(size=(4, 6, 6, 2)).astype("float32")
    model = transform_of(x, atoms=7)
    model.compile(keras.optimizers.Adam(0.1))
    model.fit(x, epochs=2, verbose=0)
    atoms = to_numpy(model.unit_atoms())
    assert np.allclose(np.sum(atoms**2, axis=(0, 1, 2)), 1.0, atol=1e-5)
    assert not np.allclose(atoms, sparse_coding.cosine_atoms(3, 2, 7), atol=0.01)


def test_half_precision_is_that_of_the_result_alone():
    x = np.random.default_rng(0).uniform(size=(2, 8, 8, 1)).astype("float16")
    model = SparseTransform(size=4, strides=2, weight=0.05, dtype="mixed_float16")
    expected = to_numpy(SparseTransform(size=4, strides=2, weight=0.05)(x))
    np.testing.assert_allclose(to_numpy(model(x)).astype("float32"), expected, atol=5e-4)
    # 512 x 512 / 2: more than float16 counts to.
    large = SparseTransform(1, size=2, strides=2, weight=9.0, iterations=1, dtype="mixed_float16")
    large.build((None, 512, 512, 1))
    ones = ops.ones((1, 512, 512, 1), "float16")
    assert float(large.purification_losses(ones, None, training=True)[0]) == 131072.0
