"""Which layers of a `lipot.Sequential` keep to a Lipschitz constant, as far as their class says."""

import keras
import numpy as np
from keras import layers

from lipot.layers import PadConv2D
from lipot.layers.base import LipschitzLayer

# They move, drop or repeat nothing but zeros, or do nothing at inference.
_ALWAYS = (
    layers.ActivityRegularization,
    layers.AlphaDropout,
    layers.Cropping1D,
    layers.Cropping2D,
    layers.Cropping3D,
    layers.Dropout,
    layers.Flatten,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.GlobalAveragePooling1D,
    layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling1D,
    layers.GlobalMaxPooling2D,
    layers.Identity,
    layers.InputLayer,
    layers.Permute,
    layers.Reshape,
    layers.Softmax,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.ZeroPadding1D,
    layers.ZeroPadding2D,
    layers.ZeroPadding3D,
)
_POOLING = (
    layers.AveragePooling1D,
    layers.AveragePooling2D,
    layers.MaxPooling1D,
    layers.MaxPooling2D,
)
_ACTIVATIONS = ("linear", "relu", "relu6", "sigmoid", "softmax", "softplus", "softsign", "tanh")


def keeps_constant(layer):
    """Whether a layer promises a constant that can be chosen: lipot's, but for `PadConv2D`."""
    return isinstance(layer, LipschitzLayer) and not isinstance(layer, PadConv2D)


def is_known(layer):
    """Whether a layer is 1-Lipschitz in l2 by its class and arguments, or promises a constant.

    Args:
        layer: Keras layer, or a symbolic tensor that a model starts from.

    Example:

    >>> is_known(keras.layers.ReLU()), is_known(keras.layers.Dense(2))
    (True, False)
    >>> is_known(keras.layers.MaxPooling2D(2)), is_known(keras.layers.MaxPooling2D(2, strides=1))
    (True, False)
    """
    if keeps_constant(layer) or isinstance(layer, (*_ALWAYS, keras.KerasTensor)):
        return True
    if isinstance(layer, keras.Sequential):
        return all(map(is_known, layer.layers))
    if isinstance(layer, _POOLING):
        # Where windows overlap a value counts more than once.
        return bool(np.all(np.array(layer.pool_size) <= layer.strides))
    if isinstance(layer, layers.ReLU):
        return layer.threshold == 0.0 and layer.negative_slope <= 1.0
    if isinstance(layer, layers.LeakyReLU):
        return layer.negative_slope <= 1.0
    if isinstance(layer, layers.Activation):
        return layer.activation in [keras.activations.get(name) for name in _ACTIVATIONS]
    return False
