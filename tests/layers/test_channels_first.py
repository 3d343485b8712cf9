"""Layers that take a data format compute the same in both."""

import inspect

import numpy as np
import pytest

from lipot import layers
from tests.helpers import convolves_channels_first, to_numpy

# Arguments and the shape of one input with the channels last.
ACTIVATIONS = {
    "GroupSort": ({"n": 3}, (4, 5, 6)),
    "GroupSort2": ({}, (4, 5, 6)),
    "FullSort": ({}, (4, 5, 6)),
    "Householder": ({}, (4, 5, 6)),
    "MaxMin": ({"k_coef_lip": 3.0}, (4, 5, 6)),
    "PartialAbs": ({}, (4, 5, 6)),
    "InvertibleDownSampling": ({"pool_size": (2, 3)}, (4, 6, 2)),
    "InvertibleUpSampling": ({"pool_size": (2, 3)}, (2, 3, 12)),
    "ScaledAveragePooling2D": ({}, (6, 5, 2)),
    "ScaledGlobalAveragePooling2D": ({}, (6, 5, 2)),
    "ScaledL2NormPooling2D": ({}, (6, 5, 2)),
    "ScaledGlobalL2NormPooling2D": ({"keepdims": True}, (6, 5, 2)),
}
_STRIDED = {"filters": 5, "kernel_size": 3, "strides": 2, "padding": "circular"}
CONVOLUTIONS = {
    "SpectralConv2D": (_STRIDED, (4, 6, 2)),
    "SpectralConv2DTranspose": ({"filters": 3, "kernel_size": 3, "strides": 2}, (4, 6, 2)),
    "FrobeniusConv2D": (_STRIDED, (4, 6, 2)),
    "PadConv2D": ({**_STRIDED, "padding": "reflect"}, (4, 6, 2)),
    "OrthogonalConv1D": (_STRIDED, (6, 2)),
    "OrthogonalConv2D": (_STRIDED, (4, 6, 2)),
    "OrthogonalConv2DTranspose": ({"filters": 3, "kernel_size": 3, "strides": 2}, (4, 6, 2)),
    "SkewOrthogonalConv2D": (_STRIDED, (4, 6, 1)),
    "SDPResidualConv2D": ({"filters": 5, "kernel_size": 3, "padding": "circular"}, (4, 5, 2)),
}
UNSUPPORTED = pytest.mark.skipif(
    not convolves_channels_first(), reason="The framework has none with the channels first here."
)
CASES = [*ACTIVATIONS, *(pytest.param(name, marks=UNSUPPORTED) for name in CONVOLUTIONS)]


@pytest.mark.parametrize("name", CASES)
def test_channels_first_is_channels_last_transposed(name):
    arguments, shape = {**ACTIVATIONS, **CONVOLUTIONS}[name]
    kind, rng = getattr(layers, name), np.random.default_rng(0)
    x = rng.normal(size=(3, *shape)).astype("float32")
    moved = np.moveaxis(x, -1, 1)
    last, first = kind(**arguments), kind(**arguments, data_format="channels_first")
    last.build(x.shape)
    first.build(moved.shape)
    for weight, same in zip(last.trainable_weights, first.trainable_weights, strict=True):
        weight.assign(to_numpy(weight) + 0.3 * rng.normal(size=weight.shape))
        same.assign(weight)
    found = np.moveaxis(to_numpy(first(moved)), 1, -1)
    np.testing.assert_allclose(found, to_numpy(last(x)), rtol=1e-5, atol=1e-5)


def test_every_layer_with_a_data_format_is_compared():
    public = [value for value in vars(layers).values() if inspect.isclass(value)]
    formatted = {
        kind.__name__ for kind in public if "data_format" in inspect.signature(kind).parameters
    }
    assert formatted == set(ACTIVATIONS) | set(CONVOLUTIONS)
