r"""Bounds of dense and convolution layers, stock and lipot.

Rounding. A layer `y = A x + b` computes each output by a chain of additions over the values it
reads. The error of the chain is a sum over its steps of `d * s`, where `s` holds every output's
partial sum and `|d| <= u`. Outputs that add in the same order have the partial sums `A_S x`, with
`A_S` the columns of a set `S`, and `|A_S x| <= |A| |x|`: no absolute values enter, so `n` steps
lose at most `n u |A| |x|`. Libraries treat the ends of tiles separately; with up to four
different orders the norm of `s` at most doubles. Rounding the products adds `u |A|_F |x|`.

For a convolution the columns are the taps and channels of the kernel read as a matrix, and an
input value enters several patches: its copies.
"""

import math

import keras
import numpy as np

from lipot.certificates.bounds import is_called_as, register_bound
from lipot.certificates.stock.activations import activation_bound
from lipot.certificates.weights import applied, check_not_quantized, image_size
from lipot.layers.activation_bounds import activation_bound as layers_activation_bound
from lipot.layers.cached_kernel_layer import CachedKernelLayer
from lipot.layers.frobenius_conv2d import FrobeniusConv2D
from lipot.layers.frobenius_dense import FrobeniusDense
from lipot.layers.orthogonal_conv1d import OrthogonalConv1D
from lipot.layers.orthogonal_conv2d import OrthogonalConv2D
from lipot.layers.orthogonal_conv2d_transpose import OrthogonalConv2DTranspose
from lipot.layers.spectral_conv2d import SpectralConv2D
from lipot.layers.spectral_conv2d_transpose import SpectralConv2DTranspose
from lipot.layers.spectral_dense import SpectralDense
from lipot.math.convolution import (
    circular_embedding,
    convolution_bound,
    patch_copies,
    transposed_bound,
)
from lipot.math.rounding import LayerBound, spectral_norm, values_in

_DENSE = (keras.layers.Dense, SpectralDense, FrobeniusDense)
# Partial sums in up to four orders: sqrt(4).
_ORDERS = 2.0


def is_dense(layer):
    """Whether a layer is `x W + b` followed by its activation."""
    return any(is_called_as(type(layer), known) for known in _DENSE)


def dense_kernel(layer):
    """The matrix a dense layer applies at inference, in float64."""
    check_not_quantized(layer)
    lipot_layer = hasattr(layer, "inference_kernel")
    return applied(layer.inference_kernel if lipot_layer else layer.kernel, layer)


def kernel_roundings(layer, kernel):
    """Roundings between the kernel read here and the one a later call applies."""
    if isinstance(layer, CachedKernelLayer) or not hasattr(layer, "inference_kernel"):
        return 0
    # It is divided at each call by a norm whose sum may run in another order.
    return (len(kernel) if getattr(layer, "disjoint_neurons", False) else kernel.size) + 8


@register_bound(*_DENSE)
def dense(layer, input_shape):
    kernel = dense_kernel(layer)
    norm = spectral_norm(kernel)
    return _affine(layer, input_shape, norm, norm, kernel, len(kernel))


@register_bound(keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
def convolution(layer, input_shape):
    check_not_quantized(layer)
    size, channels = image_size(layer, input_shape)
    kernel, groups = applied(layer.kernel, layer), getattr(layer, "groups", 1)
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        groups, kernel = channels, kernel.reshape(*kernel.shape[:2], 1, -1)
    geometry = (layer.strides, layer.dilation_rate)
    norm = convolution_bound(kernel, size, *geometry, layer.padding, groups)
    return _convolved(layer, input_shape, norm, kernel, patch_copies(kernel.shape[:2], *geometry))


@register_bound(keras.layers.Conv1D)
def convolution_1d(layer, input_shape):
    check_not_quantized(layer)
    (length,), _ = image_size(layer, input_shape)
    kernel, padding = applied(layer.kernel, layer)[:, None], layer.padding
    geometry = ((*layer.strides, 1), (*layer.dilation_rate, 1))
    if padding == "causal":
        # Zeros before the signal are part of a longer signal.
        length, padding = length + layer.dilation_rate[0] * (len(kernel) - 1), "valid"
    norm = convolution_bound(kernel, (length, 1), *geometry, padding, layer.groups)
    return _convolved(layer, input_shape, norm, kernel, patch_copies(kernel.shape[:2], *geometry))


@register_bound(SpectralConv2D, FrobeniusConv2D)
def constrained_convolution(layer, input_shape):
    if None in input_shape[1:] and layer.padding in ("same", "valid", "constant"):
        # With zero padding the layer bounds itself for every image size at once.
        return LayerBound(layer.lipschitz_bound)
    size, _ = image_size(layer, input_shape)
    kernel = applied(layer.inference_kernel, layer)
    geometry = {"strides": layer.strides, "padding": layer.padding}
    norm = convolution_bound(kernel, size, **geometry)
    # The padding's copies of a value enter patches of their own.
    copied = circular_embedding(layer.kernel_size, size, **geometry).gain ** 2
    copies = patch_copies(layer.kernel_size, layer.strides) * copied
    return _convolved(layer, input_shape, norm, kernel, copies)


@register_bound(OrthogonalConv1D, OrthogonalConv2D)
def orthogonal_convolution(layer, input_shape):
    size, kernel = layer.image_size(input_shape), applied(layer.inference_kernel, layer)
    norm = layer.norm_on(kernel, size)
    if size is None:
        return LayerBound(norm * layers_activation_bound(layer.activation))
    copies = patch_copies(layer.kernel_size, layer.strides, layer.dilation_rate)
    return _convolved(layer, input_shape, norm, kernel, copies)


@register_bound(OrthogonalConv2DTranspose)
def orthogonal_transposed_convolution(layer, input_shape):
    size, kernel = layer.image_size(input_shape), applied(layer.inference_kernel, layer)
    norm = layer.norm_on(kernel, size)
    if size is None:
        return LayerBound(norm * layers_activation_bound(layer.activation))
    return _transposed(layer, input_shape, norm, kernel)


@register_bound(keras.layers.Conv2DTranspose, SpectralConv2DTranspose)
def transposed_convolution(layer, input_shape):
    check_not_quantized(layer)
    size, _ = image_size(layer, input_shape)
    lipot_layer = hasattr(layer, "inference_kernel")
    kernel = applied(layer.inference_kernel if lipot_layer else layer.kernel, layer)
    norm = transposed_bound(kernel, size, layer.strides, layer.dilation_rate)
    return _transposed(layer, input_shape, norm, kernel)


def _transposed(layer, input_shape, norm, kernel):
    copies = patch_copies(kernel.shape[:2], layer.strides, layer.dilation_rate)
    flat = kernel.reshape(-1, kernel.shape[3])
    length = math.prod(kernel.shape[:2]) * kernel.shape[3]
    gain = spectral_norm(flat) * math.sqrt(copies)
    return _affine(layer, input_shape, norm, gain, flat * math.sqrt(copies), length)


def _convolved(layer, input_shape, norm, kernel, copies):
    flat = kernel.reshape(-1, kernel.shape[3])
    gain = spectral_norm(flat) * math.sqrt(copies)
    return _affine(layer, input_shape, norm, gain, flat * math.sqrt(copies), len(flat))


def _affine(layer, input_shape, norm, partial, flat, length):
    """Bound of a linear map of a given norm, with its bias and activation.

    Args:
        layer: The layer.
        input_shape: Its input shape.
        norm: Bound of the linear map's norm.
        partial: Bound of the norm of its partial sums that add in one order.
        flat: A matrix whose Frobenius norm bounds the products, over one input.
        length: Number of terms of one output.

    Returns:
        A `LayerBound`.
    """
    output_shape = layer.compute_output_shape(input_shape)
    bias = 0.0
    if layer.bias is not None:
        bias = applied(layer.bias, layer)
        bias = float(np.linalg.norm(bias)) * math.sqrt(values_in(output_shape) / len(bias))
    linear = LayerBound(
        lipschitz=norm,
        roundings=length + 2 + kernel_roundings(layer, flat),
        gain=_ORDERS * partial + float(np.linalg.norm(flat)) / length,
        offset=bias,
    )
    return linear.with_activation(activation_bound(layer.activation, output_shape))
