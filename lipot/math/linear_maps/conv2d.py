"""Convolutions of images."""

import dataclasses

import numpy as np
from keras import ops

from lipot import checks
from lipot.math import convolution
from lipot.math.block_orthogonal import autocorrelation_bound
from lipot.math.frozen import set_fields
from lipot.math.linear_maps.images import ImageMap, is_tight
from lipot.math.norms import largest_sum
from lipot.math.padding import explicit_amounts, explicit_widths, most_copied, pad_spatial

_ZEROS = ("same", "valid", "constant", "causal")


@dataclasses.dataclass(frozen=True)
class Conv2D(ImageMap):
    """2D convolution, in any of the paddings that 1-Lipschitz layers know.

    Args:
        filters: As for `ImageMap`, like the other arguments up to `dilation_rate`.
        groups: Positive int that divides channels and filters.

    Example:

    >>> import numpy as np
    >>> mean = np.full((3, 3, 1, 1), 1 / 9)
    >>> round(Conv2D(1, 3, padding="circular").norm(mean, (None, 6, 6, 1)), 6)
    1.0
    """

    groups: int = 1

    def __post_init__(self):
        super().__post_init__()
        groups = checks.positive_int("groups", self.groups)
        if self.filters % groups:
            raise checks.invalid("groups", f"a divisor of `filters` = {self.filters}", groups)
        set_fields(self, groups=groups)

    @property
    def pads(self):
        """Pixels added before and after each spatial axis ahead of the convolution."""
        return explicit_widths(self.extents, self.padding)

    def check(self, input_shape):
        channels = self.channels(input_shape)
        if channels % self.groups:
            raise checks.invalid(
                "groups", f"a divisor of the {channels} input channels", self.groups
            )
        size = tuple(input_shape[axis] for axis in self.spatial_axes)
        self.check_padding(size)
        self.output_shape(input_shape)

    def check_padding(self, size):
        """Raises for an image that the padding would have to copy more than once."""
        if self.padding not in ("circular", "reflect", "symmetric"):
            return
        amounts = explicit_amounts(self.extents, self.padding)
        if any(
            n is not None and amount > most_copied(n, self.padding)
            for amount, n in zip(amounts, size)
        ):
            raise checks.invalid(
                "kernel_size",
                f"at most twice the image size {size} with padding={self.padding!r}",
                self.kernel_size,
            )

    def kernel_shape(self, input_shape):
        """Shape of the kernel for an input."""
        return (*self.kernel_size, self.channels(input_shape) // self.groups, self.filters)

    def apply(self, inputs, kernel):
        """Pads a batch and convolves it with a kernel `(kh, kw, channels / groups, filters)`."""
        inputs = pad_spatial(inputs, self.pads, self.padding, self.spatial_axes)
        arguments = {
            "strides": self.strides,
            "padding": "same" if self.padding == "same" else "valid",
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
        }
        depthwise = 1 < self.groups == inputs.shape[self.channel_axis]
        if depthwise and self.strides[0] == self.strides[1]:
            kernel = ops.reshape(kernel, (*self.kernel_size, self.groups, -1))
            return ops.depthwise_conv(inputs, kernel, **arguments)
        return ops.conv(inputs, kernel, **arguments)

    def norm(self, kernel, input_shape):
        """Proven bound of the operator norm, on images of this size or of every size."""
        size = self.image_size(input_shape)
        geometry = (self.strides, self.dilation_rate)
        if size is not None:
            return convolution.convolution_bound(kernel, size, *geometry, self.padding, self.groups)
        norm = convolution.any_size_bound(kernel, *geometry, self.groups)
        return self.repetition(input_shape) ** 0.5 * norm

    def gram_bound(self, kernel, input_shape):
        """In-graph counterpart of `norm`, for a map without groups and dilation."""
        size = self.image_size(input_shape)
        if size is not None:
            return convolution.gram_bound(kernel, size, strides=self.strides, padding=self.padding)
        norm = convolution.any_size_gram_bound(kernel, self.strides)
        return self.repetition(input_shape) ** 0.5 * norm

    def norm_is_one(self):
        """Whether every kernel that is orthonormal as a matrix has operator norm one."""
        # Patches that do not overlap make the convolution a block-diagonal copy of the matrix.
        return self.patches_shared() == 1.0 and self.padding in _ZEROS

    def repetition(self, input_shape):
        """How many copies of one value the padding makes at most, beyond the circular ideal."""
        size = self.image_size(input_shape)
        if size is not None:
            return (
                convolution.circular_embedding(
                    self.kernel_size, size, self.strides, self.dilation_rate, self.padding
                ).gain
                ** 2
            )
        odd = all(k % 2 for k in self.kernel_size)
        ideal = self.padding == "circular" and self.strides == (1, 1) and odd
        # A small image may be copied on both sides of itself, on both axes.
        return 1.0 if ideal or self.padding in _ZEROS else 9.0

    def error_norm(self, input_shape):
        """Bound of the operator norm over the kernel's Frobenius norm."""
        # Once for each patch that reads a value and each value that the padding repeats.
        return (self.patches_shared() * self.repetition(input_shape)) ** 0.5

    def copies(self, input_shape):
        # The padding's copies of a value enter patches of their own.
        shared = convolution.patch_copies(self.kernel_size, self.strides, self.dilation_rate)
        return shared * self.repetition(input_shape)

    def sums(self, kernel):
        """The matrix whose columns add up to an output, and the number of terms."""
        matrix = kernel.reshape(-1, kernel.shape[3])
        return matrix, len(matrix)

    def linf_norm(self, kernel, input_shape):
        """Proven bound of the operator norm in l-infinity, on images of this size or of every size.

        Near the border of an image some taps meet zeros, and on a small one they all may.
        """
        taps, size = np.abs(kernel).sum(axis=2), self.image_size(input_shape)
        if size is None or self.padding not in _ZEROS:
            sums = taps.sum(axis=(0, 1))
        else:
            geometry = (self.strides, self.dilation_rate, self.padding)
            rows, columns = convolution.taps_that_read(self.kernel_size, size, *geometry)
            sums = np.einsum("ai,bj,ijf->abf", rows, columns, taps, optimize=True)
        return largest_sum(sums, kernel[..., 0].size + 8)

    def output_shape(self, input_shape):
        """Shape of the output for an input."""
        size = []
        for axis, extent, s, pads in zip(
            self.spatial_axes, self.extents, self.strides, self.pads, strict=True
        ):
            n = input_shape[axis]
            if n is not None and self.padding == "same":
                n = -(-n // s)
            elif n is not None:
                n = (n + sum(pads) - extent) // s + 1
            size.append(n)
        if any(n is not None and n < 1 for n in size):
            raise checks.refused(
                "kernel_size",
                "a kernel that fits into the padded image",
                f"kernel_size={self.kernel_size}, input_shape={tuple(input_shape)}, "
                f"padding={self.padding!r}",
            )
        return self.with_size(input_shape, size)


@dataclasses.dataclass(frozen=True)
class CausalConv2D(Conv2D):
    """What a causal convolution of sequences is as one of images: zeros before each axis.

    Args:
        filters: As for `Conv2D`, like the other arguments; `padding` is `"causal"`.

    Example:

    >>> CausalConv2D(4, (3, 1), (2, 1), "causal").output_shape((None, 9, 1, 2))
    (None, 5, 1, 4)
    """

    paddings = ("causal",)


@dataclasses.dataclass(frozen=True)
class ClosedConv2D(Conv2D):
    """2D convolution whose circular padding closes: patches go once around, whatever the stride.

    The map of orthogonal convolutions; its bound is tight for their kernels.

    Args:
        filters: As for `Conv2D`, like the other arguments.
    """

    def __post_init__(self):
        super().__post_init__()
        closing = tuple(name for name in self.paddings if name in (*_ZEROS, "circular"))
        if self.padding not in closing:
            raise checks.invalid(
                "padding",
                f"one of {closing}: a padding that repeats values lengthens images, so no kernel "
                "after it is orthogonal",
                self.padding,
            )
        if self.dilation_rate != (1, 1) and self.strides != (1, 1):
            raise checks.invalid(
                "dilation_rate",
                f"1 with strides {self.strides}: Keras has no dilated convolution with strides",
                self.dilation_rate,
            )

    @property
    def image(self):
        """The map of images behind this one: itself."""
        return self

    @property
    def pads(self):
        if self.padding != "circular":
            return super().pads
        totals = [max(extent - s, 0) for extent, s in zip(self.extents, self.strides)]
        return tuple((total // 2, total - total // 2) for total in totals)

    def check_padding(self, size):
        """Raises for an image around which circular patches do not close."""
        if self.padding != "circular":
            return
        if any(s > 1 and (n is None or n % s) for n, s in zip(size, self.strides)):
            raise checks.invalid(
                "strides",
                f"divisors of the image size {size} with padding='circular': around any other "
                "circle the last patch runs into the first",
                self.strides,
            )
        if any(n is not None and max(pads) > n for n, pads in zip(size, self.pads)):
            raise checks.refused(
                "kernel_size",
                f"a kernel that goes around an image of size {size} no more than once",
                f"kernel_size={self.kernel_size}, dilation_rate={self.dilation_rate}",
            )

    def repetition(self, input_shape):
        return 1.0

    def norm(self, kernel, input_shape):
        bound = autocorrelation_bound(kernel, self.strides, self.groups)
        size = self.image_size(input_shape)
        if size is None or is_tight(bound, kernel, self.groups):
            return bound
        # A kernel rounded to 16 bits leaves the bound for all sizes loose.
        geometry = (self.strides, self.dilation_rate, self.groups)
        return min(bound, convolution.circular_bound(kernel, self._circle(size), *geometry))

    def _circle(self, size):
        """Grid that holds an image and all that zero padding lets the kernel read."""
        if self.padding == "circular":
            return size
        return tuple(
            s * (-(-n // s) + -(-extent // s))
            for n, extent, s in zip(size, self.extents, self.strides)
        )
