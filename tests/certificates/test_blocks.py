"""Rounding allowed for residual, skew, centering and distance layers, against float64."""

import keras
import numpy as np
import pytest

from lipot.layers import (
    BatchCentering,
    GroupSort2,
    LayerCentering,
    LInfDistanceDense,
    SDPResidualConv2D,
    SDPResidualDense,
    SkewOrthogonalConv2D,
)
from lipot.layers.layer_bounds import layer_bound
from lipot.math.rounding import accumulated
from tests.helpers import apply_kernel, to_numpy

CASES = [
    (lambda: BatchCentering(moving_mean_initializer="random_normal"), (300,)),
    (lambda: LayerCentering(k_coef_lip=0.7), (300,)),
    (lambda: SDPResidualDense(50, bias_initializer="random_normal"), (300,)),
    (lambda: SDPResidualConv2D(20, 3, k_coef_lip=3.0), (8, 8, 6)),
    (lambda: SkewOrthogonalConv2D(6, 3), (8, 8, 6)),
    (lambda: SkewOrthogonalConv2D(8, 3, activation=GroupSort2(), k_coef_lip=0.3), (8, 8, 6)),
    (lambda: LInfDistanceDense(20, k_coef_lip=0.7), (300,)),
]


@pytest.mark.parametrize("make, shape", CASES)
@pytest.mark.parametrize("dtype, roundoff", [("float32", 2.0**-24), ("float16", 2.0**-11)])
def test_errors_stay_within_what_is_allowed(make, shape, dtype, roundoff):
    config = make().get_config()
    layer = (
        make().__class__.from_config({**config, "dtype": f"mixed_{dtype}"})
        if dtype == "float16"
        else make()
    )
    layer.build((None, *shape))
    rng = np.random.default_rng(0)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    x = rng.normal(size=(20, *shape)) * np.logspace(-2, 2, 20).reshape(20, *[1] * len(shape))
    x = x.astype(dtype).astype("float64")
    computed = to_numpy(layer(x.astype(dtype))).astype("float64")
    exact = to_numpy(_in_float64(layer, shape)(x))
    bound = layer_bound(layer, (None, *shape))
    norms = np.linalg.norm(x.reshape(20, -1), axis=1)
    # A bias is not rounded to half precision in the exact layer.
    allowed = accumulated(bound.roundings + 2, roundoff) * (bound.gain * norms + bound.offset)
    relative = accumulated(2 * bound.output_roundings + 2, roundoff)
    allowed += relative * np.linalg.norm(exact.reshape(20, -1), axis=1) + 1e-6
    errors = np.linalg.norm((computed - exact).reshape(20, -1), axis=1)
    assert np.all(errors <= allowed)
    assert errors.max() > 0.0


def _in_float64(layer, shape):
    """A copy that computes in float64 with the kernel that the layer applies."""
    activation = getattr(layer, "activation", None)
    config = {**layer.get_config(), "dtype": "float64"}
    if isinstance(activation, keras.layers.Layer):
        config["activation"] = type(activation)(dtype="float64")
    exact = type(layer).from_config(config)
    exact.build((None, *shape))
    exact.set_weights(layer.get_weights())
    if hasattr(layer, "inference_kernel"):
        apply_kernel(exact, keras.ops.cast(layer.inference_kernel, "float64"))
    else:
        for ours, theirs in zip(exact.weights, layer.weights):
            if "kernel" in ours.path:
                rounded = keras.ops.cast(theirs, layer.compute_dtype)
                ours.assign(keras.ops.cast(rounded, "float64"))
    return exact
