"""Tests of the constraints: against NumPy, and on stock layers that they must keep Lipschitz."""

import keras
import numpy as np
import pytest

from lipot.constraints import (
    AutoWeightClipConstraint,
    FrobeniusConstraint,
    SpectralConstraint,
    WeightClipConstraint,
)
from tests.helpers import check_serializable


def _numpy(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor), "float64")


def _tensor(array):
    return keras.ops.convert_to_tensor(np.asarray(array, "float32"))


def _random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _operator_norm(layer, shape):
    """Norm of a layer's linear part, from its response to every basis image."""
    size = int(np.prod(shape))
    basis = np.eye(size, dtype="float32").reshape(size, *shape)
    bias = _numpy(layer(np.zeros((1, *shape), "float32")))
    return np.linalg.norm((_numpy(layer(basis)) - bias).reshape(size, -1), 2)


def test_weight_clip():
    np.testing.assert_array_equal(
        _numpy(WeightClipConstraint()(_tensor([-3.0, -2.0, 0.5, 9.0]))), [-2.0, -2.0, 0.5, 2.0]
    )


def test_auto_weight_clip():
    # 16 weights: c = 1 / (2 * 4).
    clipped = _numpy(
        AutoWeightClipConstraint(scale=2)(_tensor(np.linspace(-1, 1, 16).reshape(4, 4)))
    )
    np.testing.assert_allclose(
        clipped, np.clip(np.linspace(-1, 1, 16), -1 / 8, 1 / 8).reshape(4, 4)
    )
    assert np.linalg.norm(_numpy(AutoWeightClipConstraint()(_random(5, 7)))) <= 1.0


def test_frobenius():
    w = _random(3, 3, 2, 4)
    np.testing.assert_allclose(_numpy(FrobeniusConstraint()(w)), w / np.linalg.norm(w), rtol=1e-5)
    np.testing.assert_array_equal(_numpy(FrobeniusConstraint()(_tensor(np.zeros((2, 2))))), 0.0)


@pytest.mark.parametrize("size", [100.0, 1e-4])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_frobenius_of_half_precision_is_rounded_once(dtype, size):
    # The squares of such entries, or their sum, are infinite or zero in float16.
    w = keras.ops.cast(size * _random(64, 64), dtype)
    wide = _numpy(keras.ops.cast(w, "float32"))
    constrained = FrobeniusConstraint()(w)
    assert keras.backend.standardize_dtype(constrained.dtype) == dtype
    found, expected = _numpy(keras.ops.cast(constrained, "float32")), wide / np.linalg.norm(wide)
    np.testing.assert_allclose(found, expected, rtol=4e-3, atol=1e-7)


@pytest.mark.parametrize("shape", [(9, 4), (4, 9), (6, 6)])
def test_spectral_sets_all_singular_values(shape):
    w = 4.0 * _random(*shape)
    projected = _numpy(SpectralConstraint(k_coef_lip=3.0)(_tensor(w)))
    left, _, right = np.linalg.svd(w, full_matrices=False)
    np.testing.assert_allclose(projected, 3.0 * left @ right, atol=1e-4)


def test_spectral_without_bjorck_keeps_the_spectrum():
    w = 4.0 * _random(8, 5)
    projected = _numpy(SpectralConstraint(eps_bjorck=None)(_tensor(w)))
    np.testing.assert_allclose(projected, w / np.linalg.norm(w, 2), rtol=2e-3)
    assert np.linalg.norm(projected, 2) <= 1.0


@pytest.mark.parametrize(
    "make",
    [
        lambda c: keras.layers.Conv2D(4, 3, padding="same", kernel_constraint=c),
        lambda c: keras.layers.Conv2D(9, (2, 3), strides=2, kernel_constraint=c),
        lambda c: keras.layers.Conv2D(3, 3, padding="same", dilation_rate=2, kernel_constraint=c),
        lambda c: keras.layers.Conv2DTranspose(3, 3, strides=2, kernel_constraint=c),
        lambda c: keras.layers.DepthwiseConv2D(
            3, depth_multiplier=2, padding="same", depthwise_constraint=c
        ),
    ],
    ids=["same", "strided", "dilated", "transpose", "depthwise"],
)
def test_spectral_bounds_every_convolution(make):
    constraint = SpectralConstraint(k_coef_lip=1.5)
    layer = make(constraint)
    layer.build((None, 8, 8, 2))
    kernel = layer.kernel
    # The worst kernel is the one that adds up in phase; a random one is easier.
    for free in (np.ones(kernel.shape), _random(*kernel.shape)):
        kernel.assign(constraint(_tensor(free)))
        assert _operator_norm(layer, (8, 8, 2)) <= 1.5 * (1 + 1e-5)


def test_the_spectral_bound_of_a_convolution_is_attained():
    # All-ones kernel, constant image: all nine readings of a pixel add up, away from the border.
    kernel = SpectralConstraint()(_tensor(np.ones((3, 3, 1, 1))))
    image = np.ones((1, 100, 100, 1), "float32")
    output = _numpy(keras.ops.conv(image, kernel))
    assert 0.97 < np.linalg.norm(output) / np.linalg.norm(image) <= 1.0


@pytest.mark.parametrize("jit_compile", [True, False])
def test_fit_keeps_stock_layers_lipschitz(jit_compile):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3, padding="same", kernel_constraint=SpectralConstraint()),
            keras.layers.Flatten(),
            keras.layers.Dense(10, kernel_constraint=SpectralConstraint()),
            keras.layers.Dense(3, kernel_constraint=FrobeniusConstraint()),
        ]
    )
    model.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=jit_compile)
    before = [w.copy() for w in model.get_weights()]
    model.fit(_random(32, 8, 8, 1), _random(32, 3), batch_size=8, epochs=2, verbose=0)
    convolution, _, dense, last = model.layers
    assert not np.allclose(before[0], convolution.kernel, atol=1e-3)
    assert _operator_norm(convolution, (8, 8, 1)) <= 1 + 1e-5
    values = np.linalg.svd(_numpy(dense.kernel), compute_uv=False)
    np.testing.assert_allclose(values, 1.0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(_numpy(last.kernel)), 1.0, atol=1e-5)


def test_a_huge_step_does_not_diverge():
    w = _numpy(SpectralConstraint()(_tensor(1e8 * _random(20, 20))))
    assert np.linalg.norm(w, 2) <= 1 + 1e-5


def test_constraints_survive_saving(tmp_path):
    constraints = [
        SpectralConstraint(0.5, 1e-2, None, 0.4),
        FrobeniusConstraint(1e-5),
        AutoWeightClipConstraint(2),
        WeightClipConstraint(0.1),
    ]
    model = keras.Sequential(
        [keras.Input((3,))] + [keras.layers.Dense(3, kernel_constraint=c) for c in constraints]
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for layer, constraint in zip(loaded.layers, constraints):
        assert type(layer.kernel_constraint) is type(constraint)
        assert layer.kernel_constraint.get_config() == constraint.get_config()
        check_serializable(constraint)


@pytest.mark.parametrize(
    "constraint, argument, value",
    [
        (SpectralConstraint, "k_coef_lip", -1.0),
        (SpectralConstraint, "eps_spectral", 0),
        (SpectralConstraint, "eps_bjorck", 0),
        (SpectralConstraint, "beta_bjorck", 1.0),
        (FrobeniusConstraint, "eps", 0),
        (AutoWeightClipConstraint, "scale", -2),
        (WeightClipConstraint, "c", "one"),
    ],
)
def test_bad_arguments_are_named(constraint, argument, value):
    with pytest.raises(ValueError, match=f"`{argument}`"):
        constraint(**{argument: value})
