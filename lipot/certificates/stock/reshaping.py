"""Bounds of layers that move, repeat, drop or shift values, and of affine normalizations."""

import math

import keras
import numpy as np
from keras import ops

from lipot.certificates.bounds import refuse, register_bound
from lipot.certificates.weights import applied
from lipot.layers.centering import BatchCentering, LayerCentering
from lipot.layers.invertible_sampling import InvertibleDownSampling, InvertibleUpSampling
from lipot.math.rounding import LayerBound, values_in
from lipot.math.scaling import wide_dtype

layers = keras.layers


@register_bound(
    layers.InputLayer,
    layers.Identity,
    layers.Flatten,
    layers.Reshape,
    layers.Permute,
    layers.ZeroPadding1D,
    layers.ZeroPadding2D,
    layers.Cropping1D,
    layers.Cropping2D,
    layers.Dropout,
    layers.AlphaDropout,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.GaussianNoise,
    layers.GaussianDropout,
    layers.ActivityRegularization,
)
def unchanged(layer, input_shape):
    """At inference these move values, add zeros or do nothing."""
    return LayerBound(1.0)


@register_bound(layers.RepeatVector)
def repeat_vector(layer, input_shape):
    return LayerBound(math.sqrt(layer.n))


@register_bound(layers.UpSampling1D)
def upsampling_1d(layer, input_shape):
    return LayerBound(math.sqrt(layer.size))


@register_bound(layers.UpSampling2D)
def upsampling_2d(layer, input_shape):
    if layer.interpolation != "nearest":
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified. Expected interpolation='nearest'. "
            f"Received: interpolation={layer.interpolation!r}"
        )
    return LayerBound(math.sqrt(math.prod(layer.size)))


@register_bound(InvertibleDownSampling, InvertibleUpSampling)
def invertible_sampling(layer, input_shape):
    return LayerBound(layer.lipschitz_bound, output_roundings=2)


@register_bound(layers.BatchNormalization)
def batch_normalization(layer, input_shape):
    if layer.moving_variance is None:
        raise ValueError(f"Layer '{layer.name}' has no weights yet. Expected a built model.")
    variance, mean = _numbers(layer.moving_variance, layer), _numbers(layer.moving_mean, layer)
    scale = 1.0 / np.sqrt(variance + layer.epsilon)
    if layer.gamma is not None:
        scale = scale * np.abs(_numbers(layer.gamma, layer))
    shift = np.abs(mean) * scale
    if layer.beta is not None:
        shift = shift + np.abs(_numbers(layer.beta, layer))
    return _channelwise(scale, shift, input_shape)


@register_bound(BatchCentering)
def batch_centering(layer, input_shape):
    mean = layer.k_coef_lip * np.abs(_numbers(layer.moving_mean, layer))
    beta = 0.0 if layer.beta is None else np.abs(_numbers(layer.beta, layer))
    return _channelwise(layer.k_coef_lip, mean + beta, input_shape)


@register_bound(LayerCentering)
def layer_centering(layer, input_shape):
    # A mean of n values is wrong by at most gamma_n |x| / sqrt(n), and subtracted n times.
    beta = np.zeros(1) if layer.beta is None else _numbers(layer.beta, layer)
    moved = _channelwise(layer.k_coef_lip, beta, input_shape)
    return moved._replace(roundings=moved.roundings + layer.averaged)


@register_bound(layers.Normalization)
def normalization(layer, input_shape):
    variance, mean = _numbers(layer.variance, layer), _numbers(layer.mean, layer)
    deviation = np.maximum(np.sqrt(variance), keras.config.epsilon())
    if layer.invert:
        return _channelwise(deviation, np.abs(mean), input_shape)
    return _channelwise(1.0 / deviation, np.abs(mean) / deviation, input_shape)


@register_bound(layers.Rescaling)
def rescaling(layer, input_shape):
    scale, shift = np.abs(applied(layer.scale, layer)), np.abs(applied(layer.offset, layer))
    return _channelwise(scale, shift, input_shape)


def _channelwise(scale, shift, input_shape):
    """`a x + b` with one pair for each channel: a few roundings of the parts and of the sum."""
    largest = float(np.max(scale)) * (1.0 + 1e-12)
    positions = values_in(input_shape) / np.size(shift)
    return LayerBound(
        lipschitz=largest,
        roundings=8,
        gain=largest,
        offset=float(np.linalg.norm(shift)) * math.sqrt(max(1.0, positions)),
    )


def _numbers(values, layer):
    # Layers in half precision apply these in float32.
    return ops.convert_to_numpy(ops.cast(values, wide_dtype(layer.compute_dtype))).astype("float64")


for _layer in (
    layers.LayerNormalization,
    layers.GroupNormalization,
    layers.RMSNormalization,
    layers.UnitNormalization,
):
    refuse(
        _layer,
        "It divides by a statistic of its own input, so its Lipschitz constant has no useful "
        "bound: it grows as the input becomes constant. Use BatchNormalization, which divides by "
        "constants at inference.",
    )
