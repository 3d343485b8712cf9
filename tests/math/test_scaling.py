"""Tests of scaling with a single rounding."""

import keras
import numpy as np
import pytest

from lipot.math.scaling import at_least_float32, scale


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_dtype_is_kept(dtype):
    x = keras.ops.ones((2,), dtype)
    assert keras.backend.standardize_dtype(scale(x, 0.3).dtype) == dtype
    assert keras.backend.standardize_dtype(scale(x, 1.0).dtype) == dtype
    wide = "float64" if dtype == "float64" else "float32"
    assert keras.backend.standardize_dtype(at_least_float32(x).dtype) == wide


def test_the_factor_is_not_rounded_to_half_precision():
    # 0.1 in float16 is 0.09997559: rounding it first would be off by 2 units here.
    x = np.array([1000.0, 2000.0], "float16")
    expected = (0.1 * x.astype("float64")).astype("float16")
    np.testing.assert_array_equal(np.asarray(scale(keras.ops.convert_to_tensor(x), 0.1)), expected)


def test_the_result_dtype_can_be_asked_for():
    y = scale(keras.ops.convert_to_tensor(np.array([1.0], "float32")), 1.0, dtype="float16")
    assert keras.backend.standardize_dtype(y.dtype) == "float16"
