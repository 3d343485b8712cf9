"""Bounds of layers that move, repeat, drop or shift values, and of affine normalizations."""

import math

import keras
import numpy as np
from keras import ops

from lipot.layers.layer_bounds import check_not_repeated, register_bound
from lipot.math.norms import norm_of_ones
from lipot.math.rounding import LayerBound, applied, applied_wide, channelwise, float_format

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
    layers.ZeroPadding3D,
    layers.Cropping3D,
    layers.Dropout,
    layers.AlphaDropout,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.SpatialDropout3D,
    layers.GaussianNoise,
    layers.GaussianDropout,
    layers.ActivityRegularization,
)
def unchanged(layer, input_shape, norm):
    """At inference these move values, add zeros or do nothing."""
    return LayerBound(1.0)


@register_bound(layers.RepeatVector)
def repeat_vector(layer, input_shape, norm):
    return LayerBound(norm_of_ones(layer.n, norm))


@register_bound(layers.UpSampling1D)
def upsampling_1d(layer, input_shape, norm):
    return LayerBound(norm_of_ones(layer.size, norm))


@register_bound(layers.UpSampling3D)
def upsampling_3d(layer, input_shape, norm):
    return LayerBound(norm_of_ones(math.prod(layer.size), norm))


@register_bound(layers.BatchNormalization)
def batch_normalization(layer, input_shape, norm):
    if layer.moving_variance is None:
        raise ValueError(f"Layer '{layer.name}' has no weights yet. Expected a built model.")
    variance = applied_wide(layer.moving_variance, layer.compute_dtype)
    mean = applied_wide(layer.moving_mean, layer.compute_dtype)
    # A difference of the two would keep few of their digits.
    if min(np.min(variance), layer.epsilon) < 0.0:
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified. Expected variances and an epsilon that are "
            f"not negative. Received: {float(np.min(variance)):.3g}, epsilon={layer.epsilon}"
        )
    scale = 1.0 / _divisor(layer, np.sqrt(variance + layer.epsilon), "float32", 0.5)
    # A call reads these flags, which may have been changed since the weights were added.
    if layer.scale:
        scale = scale * np.abs(applied_wide(layer.gamma, layer.compute_dtype))
    shift = np.abs(mean) * scale
    if layer.center:
        shift = shift + np.abs(applied_wide(layer.beta, layer.compute_dtype))
    check_not_repeated(layer, (None, input_shape[layer.axis]), shift.shape)
    return channelwise(scale, shift, input_shape, norm)


@register_bound(layers.Normalization)
def normalization(layer, input_shape, norm):
    variance = applied_wide(layer.variance, layer.compute_dtype)
    mean = applied_wide(layer.mean, layer.compute_dtype)
    check_not_repeated(layer, input_shape, np.broadcast_shapes(mean.shape, variance.shape))
    # As it was written and as a cast leaves it, by way of float32: Keras may apply either.
    epsilon = keras.config.epsilon()
    least = [epsilon, float(applied(epsilon, layer.compute_dtype))]
    # Keras takes the root in the layer's type, which may round it either way.
    rounded = applied_wide(ops.sqrt(ops.cast(layer.variance, layer.compute_dtype)), "float64")
    roots = np.stack([np.sqrt(variance), rounded])
    if layer.invert:
        deviation = np.maximum(np.max(roots, axis=0), max(least))
        bound = channelwise(deviation, np.abs(mean), input_shape, norm).with_factor(deviation)
        # Nothing is computed that the factor could enlarge.
        return bound._replace(growth=1.0)
    deviation = np.maximum(np.min(roots, axis=0), min(least))
    _divisor(layer, deviation, layer.compute_dtype)
    centered = channelwise(np.ones_like(deviation), np.abs(mean), input_shape, norm)
    bound = channelwise(1.0 / deviation, np.abs(mean) / deviation, input_shape, norm)
    bound = bound._replace(peak=centered.gain, peak_offset=centered.offset)
    return bound.with_factor(1.0 / deviation)


@register_bound(layers.Rescaling)
def rescaling(layer, input_shape, norm):
    if keras.config.image_data_format() == "channels_first" and np.ndim(layer.scale):
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified: where images have their channels first, "
            "Keras moves an array of scales to other axes than it moves the offsets. Expected a "
            f"number. Received: scale of shape {np.shape(layer.scale)}"
        )
    scale, shift = (
        np.abs(applied(value, layer.compute_dtype)) for value in (layer.scale, layer.offset)
    )
    # Keras says of its outputs that they have the sizes of its inputs.
    check_not_repeated(layer, input_shape, np.broadcast_shapes(scale.shape, shift.shape))
    bound = channelwise(scale, shift, input_shape, norm).with_factor(scale)
    # Nothing is computed before the factor that it could enlarge.
    return bound._replace(growth=1.0)


def _divisor(layer, numbers, dtype, power=1.0):
    """Numbers to divide by, or an error where machines may take them for zero."""
    least = float(np.min(numbers))
    if not least >= float_format(dtype).smallest ** power:
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified: it divides by {least:.3g}, which may count "
            "as zero. Expected a larger variance or epsilon."
        )
    return numbers
