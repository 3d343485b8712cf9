"""Tests of the manifold of orthonormal matrices against NumPy, and no collapse of kernels."""

import keras
import numpy as np
import pytest
from keras import ops

from lipot import backend, layers
from lipot.layers import orthogonalizers
from lipot.math import stiefel
from tests.helpers import numeric_gradient, to_numpy

SHAPES = [(12, 12), (20, 6), (6, 20)]


def orthonormal(shape, seed=0):
    u, _, v = np.linalg.svd(np.random.default_rng(seed).normal(size=shape), full_matrices=False)
    return (u @ v).astype("float32")


@pytest.mark.parametrize("rows", [3, 200])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_product_passes_on_the_canonical_gradient(shape, rows):
    rng = np.random.default_rng(0)
    w = orthonormal(shape)
    x = rng.normal(size=(rows, shape[0])).astype("float32")
    d = rng.normal(size=(rows, shape[1])).astype("float32")

    def of_matrix(matrix):
        return stiefel.orthonormal_product(ops.convert_to_tensor(x), matrix)

    def of_inputs(inputs):
        return stiefel.orthonormal_product(inputs, ops.convert_to_tensor(w))

    y, found = backend.vjp(of_matrix, ops.convert_to_tensor(w), ops.convert_to_tensor(d))
    np.testing.assert_allclose(to_numpy(y), x @ w, atol=1e-4)
    g = x.T.astype("float64") @ d
    np.testing.assert_allclose(to_numpy(found), g - w @ g.T @ w, atol=2e-3)
    _, found = backend.vjp(of_inputs, ops.convert_to_tensor(x), ops.convert_to_tensor(d))
    np.testing.assert_allclose(to_numpy(found), d @ w.T, atol=1e-4)


def test_the_product_keeps_leading_axes():
    w = orthonormal((6, 4))
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 6)).astype("float32")
    found = stiefel.orthonormal_product(ops.convert_to_tensor(x), ops.convert_to_tensor(w))
    np.testing.assert_allclose(to_numpy(found), x @ w, atol=1e-5)


@pytest.mark.parametrize("batch", [4, 300])
def test_a_dense_layer_compiled_for_any_batch_trains_as_by_hand(batch):
    # The batch is unknown to the program, and decides how the gradient is projected.
    layer = layers.SpectralDense(8, use_bias=False)
    model = keras.Sequential([keras.Input((8,)), layer])
    start = to_numpy(layer.kernel).astype("float64")
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(batch, 8)).astype("float32") for _ in range(2))
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    model.fit(x, y, batch_size=batch, verbose=0)
    g = x.T @ (2 * (x @ start - y) / (batch * 8))
    u, _, v = np.linalg.svd(start - 1e-3 * (g - start @ g.T @ start))
    np.testing.assert_allclose(to_numpy(layer.kernel), u @ v, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_drift_is_the_norm_of_the_error(shape):
    w = orthonormal(shape) + 0.05 * np.random.default_rng(1).normal(size=shape)
    small = w if shape[0] >= shape[1] else w.T
    true = np.linalg.norm(small.T @ small - np.eye(min(shape)), 2)
    assert true <= float(stiefel.drift(ops.convert_to_tensor(w.astype("float32")))) <= 1.3 * true


@pytest.mark.parametrize("shape", [(3, 30, 12), (12, 12), (6, 20)])
def test_deflation_takes_the_drift_of_a_few_directions_away(shape):
    # Two singular values off, the others at one; four directions to follow.
    rng = np.random.default_rng(1)
    u, _, v = np.linalg.svd(rng.normal(size=shape), full_matrices=False)
    values = np.ones(min(shape[-2:]))
    values[:2] = 1.1, 0.95
    w = ops.convert_to_tensor(((u * values) @ v).astype("float32"))
    directions = rng.normal(size=(*shape[:-2], min(shape[-2:]), 4)).astype("float32")
    for _ in range(12):
        w, directions, left = stiefel.deflate(w, directions)
    found = np.linalg.svd(to_numpy(w), compute_uv=False)
    np.testing.assert_allclose(found, 1.0, atol=2e-3)
    assert np.all(to_numpy(left) < 2e-3)


def test_deflation_by_hand():
    # On span(e2): T = 1.1^2 - 1 = 0.21, and 1.1 (1 - 0.21/2 + 3/8 0.21^2 - 5/16 0.21^3) = 0.9995.
    found = stiefel.deflate(ops.diag([1.0, 1.1]), ops.convert_to_tensor([[0.0], [2.0]]))
    # A hundredth of the direction is another.
    np.testing.assert_allclose(to_numpy(found.matrix), [[1.0, 0.0], [0.0, 0.9995]], atol=2e-3)
    np.testing.assert_allclose(np.abs(to_numpy(found.directions)), [[0.0], [0.21]], atol=1e-4)
    assert float(found.left) == pytest.approx(0.21, rel=1e-3)


def test_deflation_says_how_much_more_there_is_than_it_follows():
    rng = np.random.default_rng(2)
    w = orthonormal((10, 10)) * np.linspace(1.0, 1.1, 10, dtype="float32")
    directions = rng.normal(size=(10, 3)).astype("float32")
    found = stiefel.deflate(ops.convert_to_tensor(w), directions)
    assert 0.03 < float(found.left) < 0.21


def test_deflation_sees_one_long_drift_that_its_directions_miss():
    rng = np.random.default_rng(0)
    values = np.ones(256, "float32")
    values[-1] = 1.15
    w = ops.convert_to_tensor(orthonormal((256, 256)) * values)
    for _ in range(10):
        directions = rng.normal(size=(256, 8)).astype("float32")
        found = stiefel.deflate(w, directions)
        # A random direction of 256 has a sixteenth of each.
        assert float(found.left) > 0.015
    found = stiefel.deflate(*stiefel.deflate(w, directions)[:2])
    np.testing.assert_allclose(np.linalg.svd(to_numpy(found.matrix))[1], 1.0, atol=0.02)


@pytest.mark.parametrize("power", [-3, 0, 3])
def test_the_distance_from_one_is_that_of_eigenvalues(power):
    gram = orthonormal((12, 12)).astype("float64")
    gram = 10.0**power * (gram * np.linspace(0.2, 3.0, 12)) @ gram.T
    found = stiefel._distance(ops.convert_to_tensor(gram.astype("float32")))
    exact = np.abs(np.linalg.eigvalsh(gram) - 1).max()
    # A power iteration ends below, and a quarter is added.
    assert 0.99 * exact <= float(found) <= 1.2501 * exact


@pytest.mark.parametrize("shape", [(600, 520), (2, 530, 512), (700, 514)])
def test_products_of_blocks_are_those_of_the_whole(shape):
    matrix = np.random.default_rng(0).normal(size=shape).astype("float32")
    whole = np.swapaxes(matrix, -1, -2).astype("float64") @ matrix
    np.testing.assert_allclose(
        to_numpy(stiefel._gram(ops.convert_to_tensor(matrix))), whole, atol=2e-3
    )


def _with_one_value(value):
    """A matrix whose singular values are one but the first, and two directions to find that by."""
    u, v = orthonormal((6, 6)), orthonormal((6, 6), seed=1)
    matrix = (u * np.array([value, 1.0, 1.0, 1.0, 1.0, 1.0], "float32")) @ v.T
    return ops.convert_to_tensor(matrix), v[:, :2].astype("float32")


@pytest.mark.parametrize("value", [1.2, 1.05, 0.95, 0.8])
def test_deflation_brings_back_what_is_within_reach(value):
    found = stiefel.deflate(*_with_one_value(value))
    values = np.linalg.svd(to_numpy(found.matrix), compute_uv=False)
    drift = np.abs(values**2 - 1.0).max()
    assert drift <= 0.02
    assert drift <= float(found.left) + 0.02 * abs(value**2 - 1.0)


@pytest.mark.parametrize("value", [4.0, 1.3, 0.3, 0.0])
def test_deflation_leaves_what_is_out_of_reach_and_says_so(value):
    matrix, directions = _with_one_value(value)
    found = stiefel.deflate(matrix, directions)
    np.testing.assert_array_equal(to_numpy(found.matrix), to_numpy(matrix))
    assert np.isinf(float(found.left))


def test_deflation_says_that_what_is_not_finite_is_far():
    bad = ops.convert_to_tensor(np.full((5, 5), np.nan, "float32"))
    assert np.isinf(float(stiefel.deflate(bad, ops.eye(5)[:, :2]).left))


def test_deflation_starts_anew_where_there_was_no_drift():
    _, directions, _ = stiefel.deflate(ops.eye(4), ops.zeros((4, 2)))
    found = stiefel.deflate(1.1 * ops.eye(4), directions)
    assert float(found.left) == pytest.approx(0.21, rel=1e-4)


def test_retraction_lets_go_of_what_is_not_finite():
    bad = ops.convert_to_tensor(np.full((3, 3), np.nan, "float32"))
    assert not np.any(np.isfinite(to_numpy(stiefel.retract(bad))))


OPTIMIZERS = {
    "SGD": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
    "Adam": keras.optimizers.Adam,
    "AdamW": keras.optimizers.AdamW,
    "Lion": keras.optimizers.Lion,
    "Muon": keras.optimizers.Muon,
}
WIDTHS = [64, 256, *(pytest.param(width, marks=pytest.mark.slow) for width in (1024, 2048))]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("rate", [1e-4, 1e-3, 1e-2, 1e-1])
def test_no_optimizer_lets_a_dense_kernel_collapse(name, width, rate):
    _check_kernels(layers.SpectralDense(width), (None, width), OPTIMIZERS[name](rate))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("rate", [1e-3, 1e-1])
@pytest.mark.parametrize("layer", [layers.SpectralConv2D, layers.OrthogonalConv2D])
def test_no_optimizer_lets_a_convolution_collapse(name, rate, layer):
    _check_kernels(layer(24, 3), (None, 9, 9, 24), OPTIMIZERS[name](rate))


def _check_kernels(layer, input_shape, optimizer):
    """Three steps on gradients of low rank, Adam's dearest; singular values after each."""
    layer.build(input_shape)
    matrices = [w for w in layer.trainable_variables if len(w.shape) > 1]
    optimizer.build(matrices)
    rng = np.random.default_rng(0)
    for _ in range(3):
        gradients = []
        for weight in matrices:
            left = rng.normal(size=(*weight.shape[:-1], 4))
            low = left @ rng.normal(size=(4, weight.shape[-1]))
            gradients.append(ops.convert_to_tensor(low.astype("float32")))
        optimizer.apply(gradients)
        for weight in matrices:
            kernel = to_numpy(weight)
            if isinstance(layer, layers.SpectralConv2D):
                kernel = kernel.reshape(-1, kernel.shape[-1])
            values = np.linalg.svd(kernel, compute_uv=False)
            assert values.max() <= 1.0 + 1e-5
            assert values.min() >= 0.95


def test_gradient_of_the_loss_against_finite_differences_on_the_manifold():
    # Along a curve of orthonormal matrices the loss changes as the canonical gradient says.
    rng = np.random.default_rng(0)
    w = orthonormal((5, 5)).astype("float64")
    x, target = rng.normal(size=(7, 5)), rng.normal(size=(7, 5))
    skew = rng.normal(size=(5, 5))
    skew = skew - skew.T

    def loss_at(t):
        step = np.linalg.solve(np.eye(5) - t[0] / 2 * skew, np.eye(5) + t[0] / 2 * skew)
        return np.sum((x @ (w @ step) - target) ** 2)

    slope = numeric_gradient(loss_at, np.zeros(1), 1e-5)[0]
    upstream = 2 * (x @ w - target)

    def of_matrix(matrix):
        return stiefel.orthonormal_product(ops.convert_to_tensor(x.astype("float32")), matrix)

    _, found = backend.vjp(
        of_matrix,
        ops.convert_to_tensor(w.astype("float32")),
        ops.convert_to_tensor(upstream.astype("float32")),
    )
    # The canonical metric counts a rotation by half.
    along = np.sum(to_numpy(found) * (w @ skew)) / 2
    assert along == pytest.approx(slope, rel=1e-3)


@pytest.mark.parametrize("norm", [1e-3, 1.8, 40.0])
def test_bjorck_turns_no_direction_around_whatever_the_norm(norm):
    """The power iteration of a step cannot see the largest singular value of this matrix."""
    unseen = np.zeros((6, 6))
    start = to_numpy(stiefel._generic(ops.zeros((6, 6), "float32")))[:, 0]
    direction = np.linalg.svd(start[None])[2][1]
    unseen += 0.6 * norm * (np.eye(6) - np.outer(direction, direction))
    unseen += norm * np.outer(direction, direction)
    exact = orthogonalizers.Bjorck().exact(ops.convert_to_tensor(unseen.astype("float32")))
    np.testing.assert_allclose(to_numpy(exact), np.eye(6), atol=1e-4)
