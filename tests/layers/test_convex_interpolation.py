"""The layer around convex integration; its mathematics is tested in tests/math."""

import keras
import numpy as np
import pytest
from keras import ops

from lipot.layers import ConvexInterpolation
from lipot.math.interpolation import interpolate
from tests.helpers import check_serializable


def neighborhoods(batch=4, count=6, dimension=5, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batch, count, dimension)).astype("float32")
    z = np.tanh(x) + 0.3 * rng.normal(size=x.shape).astype("float32")
    return x.mean(axis=1), x, z.astype("float32")


def test_returns_what_the_function_returns():
    query, x, z = neighborhoods()
    layer = ConvexInterpolation(1.5, 0.1, smoothness_step=0.3, convexity_step=0.4)
    expected = interpolate(query, x, z, 1.5, 0.1, smoothness_step=0.3, convexity_step=0.4)
    np.testing.assert_allclose(layer([query, x, z]), expected.gradient)
    np.testing.assert_allclose(layer.solve(query, x, z).weights, expected.weights)
    assert layer.query_lipschitz_bound == 1.5
    assert layer.compute_output_shape([a.shape for a in (query, x, z)]) == (4, 5)


def test_saves_inside_a_functional_model(tmp_path):
    shapes = [(5,), (6, 5), (6, 5)]
    inputs = [keras.Input(shape) for shape in shapes]
    model = keras.Model(inputs, ConvexInterpolation(3.0, 0.2, max_steps=7)(inputs))
    data = neighborhoods()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(
        model.predict(list(data), verbose=0), loaded.predict(list(data), verbose=0)
    )
    check_serializable(ConvexInterpolation(3.0, 0.2, max_steps=7))


@pytest.mark.parametrize("dtype", ["float32", "float64", "mixed_float16"])
def test_dtype_policies(dtype):
    layer = ConvexInterpolation(dtype=dtype)
    output = layer([ops.convert_to_tensor(array) for array in neighborhoods()])
    assert keras.backend.standardize_dtype(output.dtype) == layer.compute_dtype
    exact = ConvexInterpolation(dtype="float64")(list(neighborhoods()))
    tolerance = {"float32": 1e-5, "float64": 1e-12, "mixed_float16": 2e-2}[dtype]
    np.testing.assert_allclose(ops.cast(output, "float64"), exact, atol=tolerance)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"smoothness": 0.0}, "`smoothness`.*smoothness=0.0"),
        ({"convexity": 2.0}, "`convexity`.*convexity=2.0"),
        ({"smoothness_step": -1.0}, "`smoothness_step`.*smoothness_step=-1.0"),
        ({"convexity_step": float("nan")}, "`convexity_step`"),
        ({"max_steps": 0}, "`max_steps`.*max_steps=0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ConvexInterpolation(**arguments)


def test_bad_shapes():
    query, x, z = neighborhoods()
    with pytest.raises(ValueError, match="Expected inputs of shapes"):
        ConvexInterpolation()([query, x, z[:, :-1]])
