"""Tests of the spectral initializer against NumPy's singular value decomposition."""

import keras
import numpy as np
import pytest

from lipot.initializers import SpectralInitializer
from tests.helpers import check_serializable


def _numpy(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor), "float64")


def _polar(kernel):
    left, _, right = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), full_matrices=False)
    return (left @ right).reshape(kernel.shape)


@pytest.mark.parametrize("shape", [(12, 5), (5, 12), (3, 3, 2, 7), (3, 3, 1, 16)])
def test_it_is_the_polar_factor_of_the_base_kernel(shape):
    base = keras.initializers.GlorotUniform(seed=3)
    kernel = _numpy(SpectralInitializer(base_initializer=base, k_coef_lip=0.5)(shape))
    np.testing.assert_allclose(kernel, 0.5 * _polar(_numpy(base(shape))), atol=2e-5)


@pytest.mark.parametrize("eps_spectral", [1e-1, 1e-3])
def test_without_bjorck_it_divides_by_the_spectral_norm(eps_spectral):
    base = keras.initializers.RandomNormal(stddev=3.0, seed=3)
    initializer = SpectralInitializer(eps_spectral, eps_bjorck=None, base_initializer=base)
    kernel, free = _numpy(initializer((40, 30))), _numpy(base((40, 30)))
    norm = np.linalg.norm(kernel, 2)
    assert 1.0 / (1.0 + 2 * eps_spectral) <= norm <= 1.0
    np.testing.assert_allclose(kernel / norm, free / np.linalg.norm(free, 2), atol=1e-6)


@pytest.mark.parametrize("beta_bjorck", [0.2, 0.5])
def test_the_smallest_singular_value_reaches_one(beta_bjorck):
    base = keras.initializers.GlorotNormal(seed=1)
    initializer = SpectralInitializer(
        eps_bjorck=1e-6, beta_bjorck=beta_bjorck, base_initializer=base
    )
    values = np.linalg.svd(_numpy(initializer((64, 48))), compute_uv=False)
    np.testing.assert_allclose(values, 1.0, atol=1e-5)


def test_a_zero_kernel_stays_zero():
    for eps_bjorck in (None, 1e-3):
        initializer = SpectralInitializer(eps_bjorck=eps_bjorck, base_initializer="zeros")
        np.testing.assert_array_equal(_numpy(initializer((4, 3))), 0.0)


def test_half_precision_is_rounded_only_once():
    base = keras.initializers.GlorotNormal(seed=1)
    half = SpectralInitializer(base_initializer=base)((16, 16), dtype="float16")
    assert keras.backend.standardize_dtype(half.dtype) == "float16"
    full = _numpy(SpectralInitializer(base_initializer=base)((16, 16)))
    np.testing.assert_array_equal(_numpy(half), full.astype("float16"))


def test_stock_layers_take_it_and_save_it(tmp_path):
    initializer = SpectralInitializer(base_initializer=keras.initializers.HeNormal(seed=0))
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(4, kernel_initializer=initializer)]
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    restored = loaded.layers[0].kernel_initializer
    assert restored.get_config() == initializer.get_config()
    np.testing.assert_allclose(_numpy(restored((6, 4))), _numpy(model.layers[0].kernel), atol=1e-6)


def test_same_seed_same_kernel():
    draws = [
        _numpy(SpectralInitializer(base_initializer=keras.initializers.Orthogonal(seed=s))((8, 8)))
        for s in (5, 5, 6)
    ]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.abs(draws[0] - draws[2]).max() > 0.1


def test_round_trip():
    check_serializable(SpectralInitializer())
    check_serializable(SpectralInitializer(1e-2, None, 0.3, 2.0, "glorot_uniform"))


@pytest.mark.parametrize(
    "argument, value",
    [
        ("eps_spectral", 0.0),
        ("eps_bjorck", -1e-3),
        ("beta_bjorck", 0.6),
        ("beta_bjorck", None),
        ("k_coef_lip", 0.0),
        ("k_coef_lip", float("inf")),
    ],
)
def test_bad_arguments_are_named(argument, value):
    with pytest.raises(ValueError, match=f"`{argument}`"):
        SpectralInitializer(**{argument: value})
