"""Transposed convolutions of images: the adjoints of convolutions."""

import dataclasses
import math
from typing import ClassVar

import numpy as np
from keras import ops

from lipot import checks
from lipot.math import convolution
from lipot.math.block_orthogonal import autocorrelation_bound
from lipot.math.linear_maps.images import ImageMap, is_tight
from lipot.math.norms import largest_sum


@dataclasses.dataclass(frozen=True)
class Conv2DTranspose(ImageMap):
    """Transposed 2D convolution with zero padding.

    Args:
        filters: As for `ImageMap`, like the arguments up to `dilation_rate`.
        output_padding: Must be `None`.

    Example:

    >>> Conv2DTranspose(3, 4, strides=2).output_shape((None, 5, 5, 8))
    (None, 10, 10, 3)
    """

    output_padding: None = None

    paddings: ClassVar[tuple[str, ...]] = ("same", "valid")

    def __post_init__(self):
        super().__post_init__()
        if self.output_padding is not None:
            raise checks.invalid(
                "output_padding", "None: the output size is the inferred one", self.output_padding
            )

    def kernel_shape(self, input_shape):
        """Shape of the kernel for an input."""
        return (*self.kernel_size, self.filters, self.channels(input_shape))

    def apply(self, inputs, kernel):
        """Applies the map to a batch, with a kernel `(kh, kw, filters, channels)`."""
        return ops.conv_transpose(
            inputs,
            kernel,
            strides=self.strides,
            padding="same" if self.padding == "same" else "valid",
            data_format=self.data_format,
        )

    def norm(self, kernel, input_shape):
        """Proven bound of the operator norm, on images of this size or of every size."""
        size = self.image_size(input_shape)
        if size is not None:
            geometry = (self.strides, self.dilation_rate, self.padding)
            return convolution.transposed_bound(kernel, size, *geometry)
        return convolution.any_size_bound(kernel, self.strides, self.dilation_rate)

    def gram_bound(self, kernel, input_shape):
        """In-graph counterpart of `norm`, for a map without dilation."""
        size = self.image_size(input_shape)
        if size is None:
            return convolution.any_size_gram_bound(kernel, self.strides)
        size = convolution.scattered_size(self.kernel_size, size, self.strides)
        return convolution.gram_bound(kernel, size, strides=self.strides, padding="valid")

    def norm_is_one(self):
        """Whether every kernel that is orthonormal as a matrix has operator norm one."""
        return False

    def error_norm(self, input_shape):
        """Bound of the operator norm over the kernel's Frobenius norm."""
        return self.patches_shared() ** 0.5

    def copies(self, input_shape):
        return convolution.patch_copies(self.kernel_size, self.strides, self.dilation_rate)

    def sums(self, kernel):
        """The matrix whose columns add up to an output, and the number of terms."""
        return kernel.reshape(-1, kernel.shape[3]), math.prod(kernel.shape[:2]) * kernel.shape[3]

    def linf_norm(self, kernel, input_shape):
        """Proven bound of the operator norm in l-infinity, on images of this size or of every size.

        An output pixel is reached by the taps whose place has its own remainder by the strides,
        from one input pixel each; around a circle too, whose length the strides divide. On a small
        image some of those pixels are not there.
        """
        taps, size = np.abs(kernel).sum(axis=3), self.image_size(input_shape)  # (kh, kw, filters)
        if size is None or self.padding == "circular":
            rows, columns = map(_of_one_remainder, taps.shape, self.strides, self.dilation_rate)
        else:
            geometry = (self.strides, self.dilation_rate, self.padding)
            rows, columns = convolution.taps_that_reach(self.kernel_size, size, *geometry)
        sums = np.einsum("ai,bj,ijf->abf", rows, columns, taps, optimize=True)
        return largest_sum(sums, kernel[:, :, 0].size + 8)

    def output_shape(self, input_shape):
        """Shape of the output for an input."""
        size = [input_shape[axis] for axis in self.spatial_axes]
        grown = [
            n if n is None else n * s + (max(k - s, 0) if self.padding == "valid" else 0)
            for n, k, s in zip(size, self.kernel_size, self.strides)
        ]
        return self.with_size(input_shape, grown)


@dataclasses.dataclass(frozen=True)
class ClosedConv2DTranspose(Conv2DTranspose):
    """Transposed 2D convolution that may go around a circle: the adjoint of `ClosedConv2D`.

    Args:
        filters: As for `Conv2DTranspose`, like the other arguments; `padding` may be
            `"circular"` too.
    """

    paddings = ("same", "valid", "circular")

    @property
    def image(self):
        """The map of images behind this one: itself."""
        return self

    @property
    def excess(self):
        """Pixels that the kernel writes beyond a circle, on each spatial axis; `()` if none."""
        totals = tuple(max(k - s, 0) for k, s in zip(self.kernel_size, self.strides))
        return totals if self.padding == "circular" and any(totals) else ()

    @property
    def pads(self):
        """Pixels that the kernel writes before and after a circle, on each spatial axis."""
        return tuple((n // 2, n - n // 2) for n in self.excess or (0, 0))

    def check(self, input_shape):
        self.channels(input_shape)
        size = tuple(input_shape[axis] for axis in self.spatial_axes)
        if any(n is not None and e > n * s for n, s, e in zip(size, self.strides, self.excess)):
            raise checks.invalid(
                "kernel_size",
                f"a kernel that goes around an image of size {size} no more than once",
                self.kernel_size,
            )

    def apply(self, inputs, kernel):
        outputs = self.fold(super().apply(inputs, kernel))
        if not self.excess or self.image_size(inputs.shape) is not None:
            return outputs
        # A smaller image than `check` admits would come out as large as the kernel's excess.
        shape = list(ops.shape(outputs))
        for axis, stride in zip(self.spatial_axes, self.strides):
            shape[axis] = stride * ops.shape(inputs)[axis]
        return ops.reshape(outputs, shape)

    def fold(self, outputs):
        """Adds what the kernel writes beyond either end to the other end: adjoint of padding."""
        for axis, (before, after) in zip(self.spatial_axes, self.pads):
            outputs = _fold_axis(outputs, axis, before, after)
        return outputs

    def norm(self, kernel, input_shape):
        bound = autocorrelation_bound(kernel, self.strides)
        size = self.image_size(input_shape)
        if size is None or is_tight(bound, kernel, groups=1):
            return bound
        # A kernel rounded to 16 bits leaves the bound for all sizes loose.
        return min(bound, convolution.circular_bound(kernel, self._circle(size), self.strides))

    def _circle(self, size):
        # The convolution that it is the adjoint of works on the larger image.
        return tuple(
            s * (n + (-(-k // s) if self.padding != "circular" else 0))
            for n, k, s in zip(size, self.kernel_size, self.strides)
        )


def _of_one_remainder(taps, stride, dilation):
    """Which taps have places of each remainder, `(stride, taps)`."""
    return np.arange(taps) * dilation % stride == np.arange(stride)[:, None]


def _fold_axis(outputs, axis, before, after):
    if before + after == 0:
        return outputs

    def part(start, stop):
        index = [slice(None)] * len(outputs.shape)
        index[axis] = slice(start, stop)
        return outputs[tuple(index)]

    # Places before..end-after stay; the first `before` belong to the end, the last to the start.
    end = -after if after else None
    first = part(before, before + after)
    middle = part(before + after, -after - before)
    last = part(-after - before, end)
    pieces = [first + part(-after, None)] if after else []
    pieces.append(middle)
    if before:
        pieces.append(last + part(None, before))
    return ops.concatenate(pieces, axis=axis)
