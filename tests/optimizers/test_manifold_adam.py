"""Tests of ManifoldAdam: a step by hand, drift, and what it leaves to Adam."""

import keras
import numpy as np
import pytest
from keras import ops

from lipot import backend, layers
from lipot.optimizers import ManifoldAdam
from tests.helpers import check_serializable, to_numpy


def built(units=2, features=2, layer=layers.SpectralDense):
    found = layer(units)
    found.build((None, features))
    return found


def tangent(kernel, rng):
    """A random canonical gradient `G - W G^T W`."""
    g = rng.normal(size=kernel.shape)
    return (g - kernel @ g.T @ kernel).astype("float32")


def test_two_steps_by_hand():
    layer = built()
    layer.kernel.assign(np.eye(2))
    adam = ManifoldAdam(0.01, beta_1=0.5, beta_2=0.75, epsilon=0.0, turn=2.0, drift=0.5)
    adam.build([layer.kernel])
    turn = np.array([[0.0, 3.0], [-3.0, 0.0]], "float32")
    # |G|_F^2 / r = 18 / 2 = 9: after the correction of its start the step is 0.02 G / 3, and what
    # it leaves the rotations by is taken away.
    first = rotated(np.eye(2), 0.02 * turn / 3)
    adam.apply([turn])
    np.testing.assert_allclose(to_numpy(layer.kernel), first, atol=1e-6)
    # Moments 0.75 G of 0.75, sizes 9 * 0.4375 of 0.4375: the same step once more.
    adam.apply([turn])
    np.testing.assert_allclose(to_numpy(layer.kernel), rotated(first, 0.02 * turn / 3), atol=1e-6)


def test_amsgrad_divides_by_the_largest_size_by_hand():
    layer = built()
    layer.kernel.assign(np.eye(2))
    adam = ManifoldAdam(
        0.01, beta_1=0.0, beta_2=0.75, epsilon=0.0, turn=2.0, drift=0.5, amsgrad=True
    )
    adam.build([layer.kernel])
    turn = np.array([[0.0, 3.0], [-3.0, 0.0]], "float32")
    adam.apply([turn])
    first = to_numpy(layer.kernel).copy()
    adam.apply([turn / 3])
    # Sizes 9 and 1: moments 2.25, then 0.75 * 2.25 + 0.25 = 1.9375, of 1 - 0.75^2 = 0.4375.
    step = 0.02 * turn / 3 / np.sqrt(2.25 / 0.4375)
    np.testing.assert_allclose(to_numpy(layer.kernel), rotated(first, step), atol=1e-6)


def rotated(kernel, step):
    """The orthonormal matrix next to a kernel less a step."""
    u, _, v = np.linalg.svd(kernel - step)
    return u @ v


@pytest.mark.parametrize("units, turn", [(16, 64.0), (256, 64.0), (1024, 32.0)])
def test_a_step_of_the_defaults_is_no_longer_in_all_where_there_are_more_columns(units, turn):
    layer = built(units, units)
    before = to_numpy(layer.kernel).copy()
    adam = ManifoldAdam(1e-6)
    adam.build([layer.kernel])
    adam.apply([tangent(before, np.random.default_rng(0))])
    step = np.linalg.norm(to_numpy(layer.kernel) - before)
    assert step == pytest.approx(1e-6 * turn * units**0.5, rel=0.05)


@pytest.mark.parametrize("count, turn", [(4, 64.0), (16, 32.0), (64, 16.0)])
def test_a_step_of_the_defaults_is_no_longer_in_all_where_there_are_more_kernels(count, turn):
    kernels = [built(4, 4).kernel for _ in range(count)]
    before = [to_numpy(kernel).copy() for kernel in kernels]
    adam = ManifoldAdam(1e-5)
    adam.build(kernels)
    adam.apply([tangent(kernel, np.random.default_rng(0)) for kernel in before])
    step = np.linalg.norm(to_numpy(kernels[-1]) - before[-1])
    assert step == pytest.approx(1e-5 * turn * 4**0.5, rel=0.05)


def test_a_convolution_counts_as_its_chain_and_groups_as_one():
    # Two rows and two columns beyond the first of each, and the matrix at their end.
    layer = layers.OrthogonalConv2D(8, 3, groups=2, use_bias=False)
    layer.build((None, 8, 8, 8))
    weights = layer.trainable_variables
    before = [to_numpy(weight).copy() for weight in weights]
    adam = ManifoldAdam(1e-6)
    adam.build(weights)
    rng = np.random.default_rng(0)
    each = [[tangent(one, rng) for one in np.reshape(w, (-1, *w.shape[-2:]))] for w in before]
    adam.apply([np.reshape(found, w.shape) for found, w in zip(each, before)])
    for weight, start in zip(weights, before):
        rank = min(weight.shape[-2:])
        moved = np.linalg.norm(to_numpy(weight) - start, axis=(-2, -1))
        np.testing.assert_allclose(moved, 1e-6 * 64.0 * (4 / 5) ** 0.5 * rank**0.5, rtol=0.05)


def test_the_first_long_step_is_brought_back():
    layer = built(256, 256)
    before = to_numpy(layer.kernel).copy()
    adam = ManifoldAdam(1e-3)
    adam.build([layer.kernel])
    rng = np.random.default_rng(0)
    few = (rng.normal(size=(256, 3)) @ rng.normal(size=(3, 256))).astype("float32")
    adam.apply([few - before @ few.T @ before])
    values = np.linalg.svd(to_numpy(layer.kernel))[1]
    assert values.min() >= 0.98 and values.max() <= 1.02


def test_all_other_variables_get_plain_adam():
    rng = np.random.default_rng(0)
    ours, theirs = ([keras.Variable(np.ones((3, 4), "float32"))] for _ in range(2))
    optimizers = ManifoldAdam(0.1), keras.optimizers.Adam(0.1)
    for _ in range(3):
        gradient = rng.normal(size=(3, 4)).astype("float32")
        for optimizer, variables in zip(optimizers, (ours, theirs)):
            optimizer.apply([ops.convert_to_tensor(gradient)], variables)
    # PyTorch's Adam steps all variables at once, and rounds otherwise.
    rounding = 2e-7 if keras.backend.backend() == "torch" else 0.0
    np.testing.assert_allclose(to_numpy(ours[0]), to_numpy(theirs[0]), rtol=rounding)


@pytest.mark.parametrize("accelerator", [False, True])
@pytest.mark.parametrize("shape", [(64, 64), (96, 32), (32, 96)])
@pytest.mark.parametrize("rate", [1e-4, 1e-3, 1e-2, 1e-1])
def test_singular_values_stay_within_the_drift(shape, rate, accelerator, monkeypatch):
    monkeypatch.setattr(backend, "has_accelerator", lambda: accelerator)
    # The optimizer draws the directions that it follows first.
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    layer = built(shape[1], shape[0])
    adam = ManifoldAdam(rate)
    adam.build([layer.kernel])
    toward = rng.normal(size=shape)
    for _ in range(40):
        kernel = to_numpy(layer.kernel).astype("float64")
        # The same way again and again: momentum leaves the manifold fastest.
        gradient = toward - kernel @ toward.T @ kernel + 0.3 * tangent(kernel, rng)
        adam.apply([ops.convert_to_tensor(gradient.astype("float32"))])
        values = np.linalg.svd(to_numpy(layer.kernel), compute_uv=False)
        # All 32 or 64 directions drift alike here, twice as many as are followed: what of the
        # others is left is estimated. Unseen it would pass 1.05 within a few steps.
        assert values.min() > 0.97 and values.max() < 1.025


def test_an_accelerator_is_asked_for_no_small_factorization(monkeypatch):
    # There each waits for a solver.
    def asked(*_):
        raise AssertionError("a factorization")

    monkeypatch.setattr(backend, "has_accelerator", lambda: True)
    monkeypatch.setattr(ops, "qr", asked)
    monkeypatch.setattr(ops, "eigh", asked)
    monkeypatch.setattr(ops, "cholesky", asked)
    layer = built(8, 8)
    adam = ManifoldAdam(1e-3)
    adam.build([layer.kernel])
    adam.apply([ops.ones((8, 8))])
    monkeypatch.setattr(backend, "has_accelerator", lambda: False)
    with pytest.raises(AssertionError, match="a factorization"):
        adam.apply([ops.ones((8, 8))])


def test_a_stack_of_matrices_turns_each_by_itself():
    layer = layers.OrthogonalConv2D(4, 3)
    layer.build((None, 8, 8, 4))
    adam = ManifoldAdam(1e-2)
    weights = layer.trainable_variables
    adam.build(weights)
    rng = np.random.default_rng(2)
    for _ in range(20):
        adam.apply(
            [ops.convert_to_tensor(rng.normal(size=w.shape).astype("float32")) for w in weights]
        )
    for weight in weights:
        if len(weight.shape) > 1:
            values = np.linalg.svd(to_numpy(weight), compute_uv=False)
            np.testing.assert_allclose(values, 1.0, atol=0.06)


def test_a_step_that_is_not_finite_leaves_the_kernel():
    layer = built(4, 4)
    adam = ManifoldAdam(2.5e-3)
    adam.build([layer.kernel])
    adam.apply([ops.convert_to_tensor(tangent(to_numpy(layer.kernel), np.random.default_rng(0)))])
    before = to_numpy(layer.kernel)
    bad = np.zeros((4, 4), "float32")
    bad[0, 0] = np.nan
    adam.apply([ops.convert_to_tensor(bad)])
    after = to_numpy(layer.kernel)
    assert np.all(np.isfinite(after))
    # Momentum goes on.
    assert np.abs(after - before).max() < 0.3
    adam.apply([ops.convert_to_tensor(np.zeros((4, 4), "float32"))])
    assert np.all(np.isfinite(to_numpy(layer.kernel)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("size", [0.0, 1e-4])
def test_half_precision_turns_as_single_does(size, dtype):
    # The square of 1e-4 is zero in float16, and one less 0.999 is in bfloat16.
    start = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0]
    gradient = size * tangent(start, np.random.default_rng(1))
    kernels = []
    for kind in (dtype, "float32"):
        layer = layers.SpectralDense(8, dtype=kind)
        layer.build((None, 8))
        layer.kernel.assign(start)
        adam = ManifoldAdam(1e-3)
        adam.build([layer.kernel])
        for _ in range(2):
            adam.apply([ops.cast(gradient, kind)])
        kernels.append(to_numpy(ops.cast(layer.kernel.value, "float32")))
    np.testing.assert_allclose(*kernels, atol=2e-2)
    assert size == 0.0 or np.abs(kernels[1] - start).max() > 4e-2


def test_stock_optimizers_retract_again_after_it():
    # What it defers ends with its step.
    layer = built(8, 8)
    adam = ManifoldAdam(1e-3)
    adam.build([layer.kernel])
    adam.apply([ops.zeros((8, 8))])
    sgd = keras.optimizers.SGD(1.0)
    sgd.build([layer.kernel])
    sgd.apply([0.3 * ops.ones((8, 8))])
    values = np.linalg.svd(to_numpy(layer.kernel), compute_uv=False)
    np.testing.assert_allclose(values, 1.0, atol=0.03)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_network_trains_with_fit(jit_compile):
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(256, 8)).astype("float32")
    # Orthonormal matrices that are not square are in one piece: each leads to each.
    y = x @ np.linalg.qr(np.random.default_rng(1).normal(size=(8, 4)))[0].astype("float32")
    model = keras.Sequential([keras.Input((8,)), layers.SpectralDense(8), layers.SpectralDense(4)])
    model.compile(ManifoldAdam(3e-3), "mse", jit_compile=jit_compile)
    history = model.fit(x, y, epochs=30, batch_size=32, verbose=0)
    assert history.history["loss"][-1] < 0.05 * history.history["loss"][0]


def test_round_trips(tmp_path):
    check_serializable(ManifoldAdam(0.1, turn=3.0, drift=0.1))
    model = keras.Sequential([keras.Input((4,)), layers.SpectralDense(4)])
    model.compile(ManifoldAdam(1e-2), "mse")
    x = np.eye(4, dtype="float32")
    model.fit(x, -x, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for a, b in zip(model.optimizer.variables, loaded.optimizer.variables):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))
    for each in (model, loaded):
        each.fit(x, -x, verbose=0, shuffle=False)
    np.testing.assert_allclose(
        to_numpy(model.layers[0].kernel), to_numpy(loaded.layers[0].kernel), atol=1e-6
    )


@pytest.mark.parametrize("name", ["turn", "drift"])
def test_bad_arguments_are_named(name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        ManifoldAdam(**{name: -1.0})


def test_two_kernels_are_stored_in_a_file_of_hdf5(tmp_path):
    model = keras.Sequential([keras.Input((8,)), layers.SpectralDense(8), layers.SpectralDense(3)])
    model.compile(ManifoldAdam(1e-2), "mse")
    model.fit(np.ones((8, 8)), np.ones((8, 3)), verbose=0)
    model.save(tmp_path / "model.h5")
    loaded = keras.saving.load_model(tmp_path / "model.h5", compile=False)
    x = np.random.default_rng(0).normal(size=(4, 8))
    np.testing.assert_allclose(to_numpy(loaded(x)), to_numpy(model(x)), atol=1e-6)
