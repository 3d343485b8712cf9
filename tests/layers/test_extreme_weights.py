"""Layers keep their constant whatever the size of their weights, whose squares may vanish."""

import numpy as np
import pytest
from keras import ops

from lipot import backend, layers
from lipot.layers.parametrized_layer import ParametrizedLayer
from lipot.math.kernel_norms import divide_by_norm
from lipot.math.orthogonal import cholesky
from tests.helpers import to_numpy
from tests.layers.test_frozen import LAYERS
from tests.public_classes import make

KERNELS = [name for name in LAYERS if issubclass(getattr(layers, name), ParametrizedLayer)]


@pytest.mark.parametrize("orthogonalizer", [None, "cholesky"])
@pytest.mark.parametrize("name", KERNELS)
def test_no_small_weights_make_a_layer_steep(name, orthogonalizer):
    layer = make("layers", name)
    if orthogonalizer is not None:
        config = layer.get_config()
        if "orthogonalizer" not in config:
            return
        layer = type(layer).from_config({**config, "orthogonalizer": orthogonalizer})
    shape = (None, 4) if "Dense" in name else (None, 4, 4) if "1D" in name else (None, 4, 4, 4)
    layer.build(shape)
    rng = np.random.default_rng(0)
    drawn = [rng.normal(size=weight.shape) for weight in layer.trainable_weights]

    def bound(factor, column):
        for weight, values in zip(layer.trainable_weights, drawn):
            scaled = values.copy()
            scaled[..., column] *= factor
            weight.assign(scaled.astype("float32"))
        return layer.bound(shape).lipschitz

    most = max(1.0, bound(1.0, slice(None))) + 1e-5
    # Disjoint neurons have the norm of their directions, at most the root of their number.
    most = max(most, layer.units**0.5) if name == "FrobeniusDense" else most
    for factor in (0.0, 1e-19, 1e-21, 1e-25):
        assert bound(factor, 0) <= most
        assert bound(factor, slice(None)) <= most


@pytest.mark.parametrize("scale", [1e-35, 1e-21, 1.0, 1e18, 1e30])
def test_directions_do_not_depend_on_the_scale(scale):
    kernel = np.random.default_rng(0).normal(size=(5, 3))
    given = (scale * kernel).astype("float32")
    expected = kernel / np.linalg.norm(kernel, axis=0)
    found = to_numpy(divide_by_norm(ops.convert_to_tensor(given), 0, "float32"))
    np.testing.assert_allclose(found, expected, rtol=3e-6)
    orthonormal = to_numpy(cholesky(ops.convert_to_tensor(given)))
    np.testing.assert_allclose(orthonormal.T @ orthonormal, np.eye(3), atol=1e-5)


@pytest.mark.parametrize(
    "function", [cholesky, lambda kernel: divide_by_norm(kernel, 0, "float32")]
)
def test_zeros_stay_zeros_and_have_a_gradient(function):
    kernel = np.zeros((5, 3), "float32")
    assert np.all(to_numpy(function(ops.convert_to_tensor(kernel))) == 0.0)
    _, gradient = backend.value_and_input_gradient(
        lambda weights: ops.sum(function(weights)), ops.convert_to_tensor(kernel)
    )
    assert np.all(np.isfinite(to_numpy(gradient)))
