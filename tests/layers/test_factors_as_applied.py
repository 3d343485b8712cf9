"""A constant counts as the layer multiplies by it: 1.1 is 1.1000000238 in float32."""

import inspect

import keras
import numpy as np
import pytest

import lipot
from lipot import layers
from lipot.layers.base import LipschitzLayer
from lipot.layers.kernel_layer import KernelLayer

# 1.1 is larger in float32, by 2e-8.
FACTOR = 1.1
ARGUMENTS = {
    "InvertibleDownSampling": {"pool_size": 2},
    "InvertibleUpSampling": {"pool_size": 2},
    "LInfDistanceDense": {"units": 3},
    "LipschitzResidual": {"branch": keras.layers.ReLU()},
    "SDPResidualConv2D": {"filters": 8, "kernel_size": 3},
    "SDPResidualDense": {"units": 8},
}
MULTIPLYING = [
    name
    for name, kind in vars(layers).items()
    if inspect.isclass(kind) and issubclass(kind, LipschitzLayer)
    # Their factor is part of the kernel, whose norm is computed as it was rounded.
    if not issubclass(kind, KernelLayer) and kind is not LipschitzLayer
]


def built(name, **more):
    keras.utils.set_random_seed(0)
    layer = getattr(layers, name)(**ARGUMENTS.get(name, {}), **more)
    layer.build((None, 6, 6, 8))
    return layer


@pytest.mark.parametrize("norm", [2, "inf"])
@pytest.mark.parametrize("name", MULTIPLYING)
def test_no_bound_is_below_the_factor_as_it_is_applied(name, norm):
    shape = (None, 6, 6, 8)
    plain = built(name).bound(shape, norm).lipschitz
    larger = built(name, k_coef_lip=FACTOR).bound(shape, norm).lipschitz
    assert larger >= plain * float(np.float32(FACTOR)) * (1.0 - 1e-14)


@pytest.mark.parametrize("name", MULTIPLYING)
def test_in_double_precision_a_factor_is_exact(name):
    shape = (None, 6, 6, 8)
    plain = built(name, dtype="float64").bound(shape).lipschitz
    larger = built(name, k_coef_lip=FACTOR, dtype="float64").bound(shape).lipschitz
    assert larger == pytest.approx(plain * FACTOR, rel=1e-12)


def test_a_product_of_many_is_above_what_the_layers_reach():
    parts = [layers.PartialAbs(k_coef_lip=FACTOR) for _ in range(300)]
    model = keras.Sequential([keras.Input((2,)), *parts])
    reached = float(np.float32(FACTOR)) ** 300
    assert reached <= lipot.lipschitz_constant(model) <= reached * (1.0 + 1e-9)
