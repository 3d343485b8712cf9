"""Which layers of a `lipot.Sequential` keep to a Lipschitz constant, as far as their class says."""

import keras
import numpy as np
from keras import layers

from lipot.layers import LipschitzResidual, PadConv2D
from lipot.layers.activation_bounds import keeps_distances
from lipot.layers.base import LipschitzLayer
from lipot.layers.layer_bounds import is_called_as, is_ours, overrides, replaced
from lipot.layers.model_calls import runs_its_layers_in_turn

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


def _windows_are_apart(layer):
    # Where windows overlap a value counts more than once.
    return np.all(np.array(layer.pool_size) <= layer.strides)


def _keeps_distances(activation):
    if isinstance(activation, keras.layers.Layer):
        return is_known(activation)
    return activation is None or keeps_distances(activation)


# Those whose arguments decide.
_ARGUMENTS = {
    layers.AveragePooling1D: _windows_are_apart,
    layers.AveragePooling2D: _windows_are_apart,
    layers.MaxPooling1D: _windows_are_apart,
    layers.MaxPooling2D: _windows_are_apart,
    layers.ReLU: lambda layer: layer.threshold == 0.0 and layer.negative_slope <= 1.0,
    layers.LeakyReLU: lambda layer: layer.negative_slope <= 1.0,
    layers.Activation: lambda layer: _keeps_distances(layer.activation),
}


def takes_constant(layer):
    """Whether a layer has a constant that can be chosen: lipot's have, but for `PadConv2D`."""
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
    if isinstance(layer, keras.KerasTensor):
        return True
    if isinstance(layer, keras.Sequential):
        return runs_its_layers_in_turn(layer) and all(map(is_known, layer.layers))
    if replaced(layer):
        return False
    if isinstance(layer, LipschitzResidual):
        return _speaks_for(layer) and is_known(layer.branch)
    if isinstance(layer, LipschitzLayer):
        activation = getattr(layer, "activation", None)
        return _speaks_for(layer) and layer.keeps_constant and _keeps_distances(activation)
    known = next((c for c in _ARGUMENTS if is_called_as(type(layer), c)), None)
    if known is not None:
        return bool(_ARGUMENTS[known](layer))
    return any(is_called_as(type(layer), c) for c in _ALWAYS)


def _speaks_for(layer):
    """Whether a layer computes what its class in lipot does, or says itself how it does."""
    ours = next(c for c in type(layer).__mro__ if is_ours(c))
    changed = overrides(type(layer), ours)
    return ours is LipschitzLayer or not changed or "bound" in changed
