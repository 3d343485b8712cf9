"""Tests of the residual blocks with a semidefinite condition, against dense matrices."""

import keras
import numpy as np
import pytest

import lipot
from lipot.layers import SDPResidualConv2D, SDPResidualDense
from lipot.math import sdp
from tests.helpers import apply_kernel, check_layer, to_numpy
from tests.lipschitz import ROUNDING, check_bound, jacobians, nasty_points


def sample(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(layer, shape, scale=1.0):
    """A layer with random weights, its kernel `scale` times as large as a normal one."""
    layer.build((None, *shape))
    rng = np.random.default_rng(1)
    layer.kernel.assign(scale * rng.normal(size=layer.kernel.shape))
    layer.log_scale.assign(rng.normal(size=layer.log_scale.shape))
    layer.bias.assign(rng.normal(size=layer.bias.shape))
    return layer


def test_the_dense_block_is_the_formula_of_the_paper():
    layer, x = built(SDPResidualDense(7, k_coef_lip=0.5), (4,)), sample(5, 4).astype("float64")
    w, q, b = (to_numpy(v).astype("float64") for v in (layer.kernel, layer.log_scale, layer.bias))
    q, gram = np.exp(q), np.abs(w.T @ w)
    t = np.array([sum(gram[i, j] * q[j] / q[i] for j in range(7)) for i in range(7)])
    hidden = np.maximum(x @ w + b * np.sqrt(t / 2.0), 0.0)
    expected = 0.5 * (x - 2.0 * (hidden / t) @ w.T)
    np.testing.assert_allclose(to_numpy(layer(x.astype("float32"))), expected, atol=1e-5)
    # The condition of the theorem itself.
    assert np.linalg.eigvalsh(np.diag(t) - w.T @ w)[0] >= -1e-12


DENSE = [(lambda **a: SDPResidualDense(7, **a), (4,)), (lambda **a: SDPResidualDense(2, **a), (5,))]
CONV = [
    (lambda **a: SDPResidualConv2D(5, 3, **a), (4, 5, 2)),
    (lambda **a: SDPResidualConv2D(3, (3, 1), padding="circular", **a), (4, 4, 2)),
    (lambda **a: SDPResidualConv2D(2, 3, padding="circular", **a), (2, 1, 1)),
]


@pytest.mark.parametrize("make, shape", DENSE + CONV)
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_no_jacobian_has_a_singular_value_above_one(make, shape, scale):
    layer = built(make(dtype="float64"), shape, scale)
    assert layer.lipschitz_bound == 1.0
    for jacobian in jacobians(layer, nasty_points(shape)):
        assert np.linalg.norm(jacobian, 2) <= 1.0 + ROUNDING
        np.testing.assert_allclose(jacobian, jacobian.T, atol=ROUNDING)


def test_no_attack_beats_the_bound():
    check_bound(built(SDPResidualDense(7, k_coef_lip=0.7, dtype="float64"), (4,)), (4,))
    layer = SDPResidualConv2D(3, 3, k_coef_lip=2.0, dtype="float64")
    check_bound(built(layer, (3, 3, 2)), (3, 3, 2), attained=0.999)


@pytest.mark.parametrize("padding", ["same", "circular"])
def test_the_kernel_bound_holds_on_images_of_every_size(padding):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 2, 4)) * 0.2
    bound = sdp.residual_bound(kernel)
    for size in ((1, 1), (2, 3), (5, 4)):
        layer = SDPResidualConv2D(4, 3, padding=padding, dtype="float64")
        layer.build((None, *size, 2))
        apply_kernel(layer, kernel)
        # Large biases leave every unit on: the largest J = I - K K^T.
        layer.bias.assign(np.full(4, 1e3))
        norms = np.linalg.norm(jacobians(layer, nasty_points((*size, 2))), 2, axis=(1, 2))
        assert norms.max() <= bound * (1 + 1e-12)
        assert layer.lipschitz_bound == bound


def test_the_bound_tells_when_a_kernel_is_too_large():
    # |I - K K^T| = 3 for K = 2 I, with every unit on.
    assert sdp.residual_bound(2.0 * np.eye(4)) == pytest.approx(3.0, rel=1e-9)
    layer = built(SDPResidualDense(4), (4,))
    layer(np.ones((1, 4), "float32"))
    apply_kernel(layer, 2.0 * np.eye(4))
    assert layer.lipschitz_bound == pytest.approx(3.0, rel=1e-6)
    apply_kernel(layer, np.full((4, 4), np.nan))
    with pytest.raises(ValueError, match="NaN or infinite"):
        _ = layer.lipschitz_bound


def test_in_graph_sums_are_the_bound_in_numpy():
    kernel = sample(3, 5, 2, 4)
    sums = to_numpy(sdp.autocorrelation_sums(keras.ops.convert_to_tensor(kernel)))
    assert sdp.residual_bound(kernel) == pytest.approx(np.linalg.eigvalsh(sums)[-1] - 1, rel=1e-5)
    # Correlations at all shifts, written out.
    total = np.zeros((4, 4))
    for dy in range(-2, 3):
        for dx in range(-4, 5):
            moved = np.zeros((7, 13, 2, 4))
            moved[2 + dy : 5 + dy, 4 + dx : 9 + dx] = kernel
            total += np.abs(np.einsum("yxci,yxcj->ij", moved[2:5, 4:9], kernel))
    np.testing.assert_allclose(sums, total, rtol=1e-4)


def test_filters_of_zeros_do_no_harm():
    layer = built(SDPResidualDense(3), (4,), scale=0.0)
    x = sample(2, 4)
    np.testing.assert_array_equal(to_numpy(layer(x)), x)
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile("sgd", "mse")
    model.fit(x, x, verbose=0)
    assert np.all(np.isfinite(to_numpy(layer.kernel)))


def test_a_network_of_blocks_trains_certifies_and_exports():
    keras.utils.set_random_seed(0)
    centers = np.random.default_rng(0).normal(size=(3, 6, 6, 2)) * 2
    y = np.arange(120) % 3
    x = (centers[y] + np.random.default_rng(1).normal(size=(120, 6, 6, 2)) * 0.3).astype("float32")
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            SDPResidualConv2D(8, 3),
            SDPResidualConv2D(8, 3, padding="circular"),
            keras.layers.Flatten(),
            SDPResidualDense(32, k_coef_lip=0.9),
            lipot.layers.FrobeniusDense(3),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), lipot.losses.MulticlassHKR(alpha=20.0))
    model.fit(x, np.eye(3)[y], epochs=3, batch_size=40, verbose=0)
    certificate = lipot.certify(model, x, y)
    assert certificate.lipschitz <= 0.9 * (1 + 1e-9)
    assert certificate.accuracy(0.5) > 0.9
    assert certificate.rounding.max() < 0.05
    plain = lipot.to_keras(model)
    np.testing.assert_allclose(plain.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5)
    assert "lipot" not in plain.to_json()


def test_half_precision_keeps_the_bound():
    for layer, shape in [
        (SDPResidualDense(64, dtype="mixed_float16"), (16,)),
        (SDPResidualConv2D(16, 3, dtype="mixed_float16"), (6, 6, 4)),
    ]:
        assert built(layer, shape).lipschitz_bound == 1.0
        kernel = to_numpy(layer.inference_kernel)
        assert kernel.dtype == "float16"
        full = type(layer).from_config({**layer.get_config(), "dtype": "float32"})
        full.build((None, *shape))
        full.set_weights(layer.get_weights())
        x = sample(8, *shape)
        np.testing.assert_allclose(to_numpy(layer(x)), to_numpy(full(x)), atol=2e-2)


def test_round_trips(tmp_path):
    check_layer(SDPResidualDense(7, k_coef_lip=0.5, kernel_regularizer="l2"), (2, 3, 4), tmp_path)
    check_layer(SDPResidualConv2D(5, (1, 3), padding="circular"), (2, 4, 5, 3), tmp_path)


@pytest.mark.parametrize(
    "make, word",
    [
        (lambda: SDPResidualDense(0), "`units`.*units=0"),
        (lambda: SDPResidualDense(4, k_coef_lip=-1.0), "`k_coef_lip`"),
        (lambda: SDPResidualConv2D(0, 3), "`filters`"),
        (lambda: SDPResidualConv2D(4, 2), "`kernel_size`.*odd"),
        (lambda: SDPResidualConv2D(4, 3, padding="valid"), "`padding`"),
        (lambda: SDPResidualConv2D(4, 3, data_format="NCHW"), "`data_format`"),
        (lambda: SDPResidualConv2D(4, 9, padding="circular")(np.ones((1, 3, 3, 1))), "kernel_size"),
        (lambda: SDPResidualDense(4).inference_kernel, "no weights yet"),
    ],
)
def test_bad_arguments_are_named(make, word):
    with pytest.raises(ValueError, match=word):
        make()


def test_the_constraint_of_the_kernel_is_saved():
    layer = SDPResidualDense(3, kernel_constraint="non_neg")
    copy = SDPResidualDense.from_config(layer.get_config())
    assert isinstance(copy.kernel_constraint, keras.constraints.NonNeg)
