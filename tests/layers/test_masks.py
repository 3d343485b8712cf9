"""Layers that act on each step of a sequence alone pass its mask on, as those of Keras do."""

import keras
import numpy as np
import pytest

from lipot import layers
from tests.helpers import to_numpy

STEPWISE = {
    "SpectralDense": lambda: layers.SpectralDense(4),
    "FrobeniusDense": lambda: layers.FrobeniusDense(4),
    "LInfDistanceDense": lambda: layers.LInfDistanceDense(4),
    "SDPResidualDense": lambda: layers.SDPResidualDense(4),
    "GroupSort2": layers.GroupSort2,
    "FullSort": layers.FullSort,
    "MaxMin": layers.MaxMin,
    "Householder": layers.Householder,
    "PartialAbs": layers.PartialAbs,
    "PReLUlip": layers.PReLUlip,
    "PositionEmbedding": layers.PositionEmbedding,
    "BatchCentering": layers.BatchCentering,
    "LayerCentering": layers.LayerCentering,
    "LipschitzResidual": lambda: layers.LipschitzResidual([layers.SpectralDense(4)]),
    "TransportResidual": lambda: layers.TransportResidual(layers.SpectralDense(4)),
    "SelfAttention": lambda: layers.SelfAttention(2),
}


@pytest.mark.parametrize("name", STEPWISE)
def test_a_mask_reaches_the_mean_over_the_steps(name):
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    x[0, 2], x[1, 1:] = 0.0, 0.0
    layer = STEPWISE[name]()
    inputs = keras.Input((3, 4))
    steps = layer(keras.layers.Masking()(inputs))
    model = keras.Model(inputs, [steps, keras.layers.GlobalAveragePooling1D()(steps)])
    outputs, means = (to_numpy(values) for values in model(x))
    expected = [outputs[0, :2].mean(axis=0), outputs[1, 0]]
    np.testing.assert_allclose(means, expected, atol=1e-5)
