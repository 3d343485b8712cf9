"""Bound of convolutions of volumes: convolutions of images, with one axis among the channels."""

import keras
import numpy as np

from lipot.certificates.stock.linear import finished
from lipot.certificates.weights import check_not_quantized, image_size
from lipot.layers.applied_weights import applied_weight
from lipot.layers.layer_bounds import register_bound
from lipot.math import linear_maps
from lipot.math.convolution_geometry import places_read
from lipot.math.rounding import LayerBound

# A kernel of more values takes seconds.
_MOST_VALUES = 2**21


@register_bound(keras.layers.Conv3D)
def convolution_3d(layer, input_shape, norm):
    r"""That of one convolution of images, or the sum of those of its slices.

    With the places of the shortest axis counted as channels, what is left is a convolution of
    images, whose kernel repeats that of the volumes along the diagonal: the same map. Where that
    kernel is too large, the map is $\sum_a S_a \otimes T_a$ with $T_a$ the convolution of images
    with slice $a$ of the kernel, and $S_a$ the choice of what slice $a$ reads, each of them once:
    its norm is at most $\sum_a \|T_a\|$, in either norm, and so are those of its partial sums.
    """
    check_not_quantized(layer)
    size, channels = image_size(layer, input_shape)
    kernel = applied_weight(layer, "kernel")
    # Keras convolves with as many groups as the kernel leaves, whatever the layer says by now.
    groups = channels // kernel.shape[3]
    short = int(np.argmin(size))
    # The short axis first.
    axes = [short, *(axis for axis in range(3) if axis != short)]
    kernel = kernel.transpose([*axes, 3, 4])
    size, strides, dilation = (
        [sizes[axis] for axis in axes] for sizes in (size, layer.strides, layer.dilation_rate)
    )

    def image_bound(kernel, channels):
        geometry = (kernel.shape[:2], tuple(strides[1:]), layer.padding, "channels_last")
        image = linear_maps.Conv2D(kernel.shape[3], *geometry, tuple(dilation[1:]), groups)
        return image.bound(kernel, (None, *size[1:], channels), norm=norm)

    places = [(n, 1) for n in (len(kernel), size[0], strides[0], dilation[0])]
    read = places_read(*places, layer.padding)[0]
    if kernel.size // len(kernel) * size[0] * len(read) <= _MOST_VALUES:
        folded = _folded(kernel, read, size[0], groups)
        bound = image_bound(folded, channels * size[0])
    else:
        bound = _added([image_bound(part, channels) for part in kernel])
    return finished(layer, bound, input_shape, norm)


def _folded(kernel, read, size, groups):
    """The kernel with its first axis among the channels, which stay together by groups.

    Args:
        kernel: `(kd, kh, kw, channels / groups, filters)`.
        read: Place that each tap reads for each output, -1 for a zero, `(outputs, kd)`.
        size: Number of places.
        groups: Number of channel groups.

    Returns:
        `(kh, kw, size * channels / groups, outputs * filters)`.
    """
    taken = (read[..., None] == np.arange(size)).astype("float64")  # (outputs, kd, size)
    by_group = kernel.reshape(*kernel.shape[:4], groups, -1)
    folded = np.einsum("oad,ahwcgf->hwdcgof", taken, by_group, optimize=True)
    return folded.reshape(*kernel.shape[1:3], size * kernel.shape[3], -1)


def _added(bounds):
    """Bound of a sum of maps that are summed up in any order."""
    return LayerBound(
        lipschitz=sum(bound.lipschitz for bound in bounds) * (1.0 + 1e-12),
        roundings=sum(bound.roundings for bound in bounds),
        gain=sum(bound.gain for bound in bounds),
    )
