r"""Bounds of residual blocks of their own, and of layers that measure distances.

Rounding. A block runs several maps one after the other. The error of each is bounded as in
`lipot.certify.linear`, `gamma_n g |x|` for a map with sums of `n` terms and partial sums of norm
`g |x|`, and multiplied by the norms of the maps that follow.
"""

import math

import numpy as np

from lipot.certify.bounds import LayerBound, register_bound, values_in
from lipot.certify.weights import applied, spectral_norm
from lipot.layers.sdp_residual_conv2d import SDPResidualConv2D
from lipot.layers.sdp_residual_dense import SDPResidualDense

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


def partial_sums(kernel):
    """Bound of the norm of a convolution's partial sums and products, for each unit of input."""
    copies = math.prod(kernel.shape[:2])
    flat = kernel.reshape(-1, kernel.shape[3])
    products = float(np.linalg.norm(flat)) / len(flat)
    return math.sqrt(copies) * (_ORDERS * spectral_norm(flat) + products)
