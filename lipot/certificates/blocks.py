r"""Bounds of residual blocks of their own, and of layers that measure distances.

Rounding. A block runs several maps one after the other. The error of each is bounded as in
`lipot.certificates.stock.linear`, `gamma_n g |x|` for a map with sums of `n` terms and partial
sums of norm `g |x|`, and multiplied by the norms of the maps that follow.
"""

import math

import numpy as np

from lipot.certificates.bounds import register_bound
from lipot.certificates.stock.activations import activation_bound
from lipot.certificates.weights import applied
from lipot.layers.linf_distance_dense import LInfDistanceDense
from lipot.layers.sdp_residual_conv2d import SDPResidualConv2D
from lipot.layers.sdp_residual_dense import SDPResidualDense
from lipot.layers.skew_orthogonal_conv2d import SkewOrthogonalConv2D
from lipot.math.rounding import LayerBound, accumulated, float_format, spectral_norm, values_in
from lipot.math.skew import exponential_bound, shift_bound

# Partial sums in up to four orders: sqrt(4).
_ORDERS = 2.0


@register_bound(SDPResidualDense, SDPResidualConv2D)
def sdp_residual(layer, input_shape):
    kernel = applied(layer.inference_kernel, layer)
    kernel = kernel if kernel.ndim == 4 else kernel[None, None]
    adjoint = kernel.transpose(0, 1, 3, 2)
    into, back = partial_sums(kernel), max(1.0, partial_sums(adjoint))
    positions = values_in(input_shape) / kernel.shape[2]
    bias = float(np.linalg.norm(applied(layer.bias, layer))) * math.sqrt(positions)
    scale = max(1.0, layer.k_coef_lip)
    return LayerBound(
        lipschitz=layer.lipschitz_bound,
        # Both sums, the bias, the difference, and the factor.
        roundings=kernel[..., 0].size + adjoint[..., 0].size + 6,
        gain=scale * (1.0 + into * back),
        offset=scale * bias * back,
        output_roundings=2,
    )


@register_bound(SkewOrthogonalConv2D)
def skew_orthogonal_convolution(layer, input_shape):
    # Term k of the series is A / k times term k - 1, which has a norm of |A|^(k-1) / (k-1)! at
    # most. What the product rounds off, gamma g |A|^(k-1) / k!, goes through the terms that
    # follow, of which the sum is below e^|A|. All in all g e^|A| (e^|A| - 1) / |A| for each gamma;
    # second orders enter by the norm of the rounded product.
    kernel = applied(layer.inference_kernel, layer)
    terms, step = kernel[..., 0].size + 3, partial_sums(kernel)
    roundoff = float_format(layer.compute_dtype).roundoff
    norm = shift_bound(kernel) + accumulated(terms, roundoff) * step
    grown = math.exp(min(norm, 100.0))
    output_shape = layer.compute_output_shape(input_shape)
    bias = 0.0
    if layer.bias is not None:
        positions = values_in(output_shape) / layer.filters
        bias = float(np.linalg.norm(applied(layer.bias, layer))) * math.sqrt(positions)
    linear = LayerBound(
        lipschitz=layer.k_coef_lip * exponential_bound(kernel, layer.terms),
        roundings=terms + layer.terms + 4,
        gain=max(1.0, layer.k_coef_lip) * grown * (1.0 + step * grown),
        offset=bias,
    )
    return linear.with_activation(activation_bound(layer.activation, output_shape))


@register_bound(LInfDistanceDense)
def linf_distance(layer, input_shape):
    # A difference of size |x| + |w| at most, a product with the factor, and the bias.
    root = math.sqrt(values_in(layer.compute_output_shape(input_shape)))
    largest = float(np.linalg.norm(applied(layer.kernel, layer), axis=0).max())
    bias = 0.0 if layer.bias is None else float(np.abs(applied(layer.bias, layer)).max())
    scale = max(1.0, layer.k_coef_lip)
    return LayerBound(
        lipschitz=layer.lipschitz_bound,
        roundings=4,
        gain=scale * root,
        offset=root * (scale * largest + bias),
    )


def partial_sums(kernel):
    """Bound of the norm of a convolution's partial sums and products, for each unit of input."""
    copies = math.prod(kernel.shape[:2])
    flat = kernel.reshape(-1, kernel.shape[3])
    products = float(np.linalg.norm(flat)) / len(flat)
    return math.sqrt(copies) * (_ORDERS * spectral_norm(flat) + products)
