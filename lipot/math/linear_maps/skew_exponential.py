"""Exponentials of skew-symmetric convolutions as maps of images."""

import dataclasses
import math

from keras import ops

from lipot import checks
from lipot.math import skew
from lipot.math.frozen import set_fields
from lipot.math.linear_maps.conv2d import Conv2D
from lipot.math.linear_maps.images import ImageMap
from lipot.math.linear_maps.linear_map import partial_sums
from lipot.math.norms import row_sums
from lipot.math.rounding import UP, LayerBound, accumulated, applied_factor, float_format
from lipot.math.sampling import space_to_channels
from lipot.math.scaling import scale


@dataclasses.dataclass(frozen=True)
class SkewExponential(ImageMap):
    r"""`factor * sum_k A^k x / k!`, with $A$ a convolution of odd size.

    Blocks of `strides` pixels move into the channels first; channels of zeros are added where
    there are fewer than `filters`, and the first `filters` are kept.

    Args:
        filters: As for `ImageMap`, like the arguments up to `data_format`.
        terms: Positive int, terms of the series.
        training_terms: Positive int, terms while training.
        factor: Positive float, a factor of the output.

    Example:

    >>> SkewExponential(6, 3, (2, 2)).output_shape((None, 8, 8, 3))
    (None, 4, 4, 6)
    """

    terms: int = 12
    training_terms: int = 6
    factor: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        check_centered(self.kernel_size, self.padding)
        set_fields(
            self,
            terms=checks.positive_int("terms", self.terms),
            training_terms=checks.positive_int("training_terms", self.training_terms),
        )

    def split_factor(self, factor):
        # It is a factor of the exponential, not of the kernel.
        return dataclasses.replace(self, factor=factor), 1.0

    def in_training(self):
        return dataclasses.replace(self, terms=self.training_terms)

    def width(self, input_shape):
        """Channels of the exponential itself."""
        return max(self.channels(input_shape) * math.prod(self.strides), self.filters)

    def convolution(self, width):
        """The convolution whose exponential this is."""
        return Conv2D(width, self.kernel_size, (1, 1), self.padding, self.data_format)

    def check(self, input_shape):
        channels = self.channels(input_shape)
        size = [input_shape[axis] for axis in self.spatial_axes]
        if any(n is not None and n % s for n, s in zip(size, self.strides)):
            raise checks.invalid(
                "strides", f"divisors of the image size {tuple(size)}", self.strides
            )
        blocks = [n if n is None else n // s for n, s in zip(size, self.strides)]
        check_circle(self.kernel_size, self.padding, blocks)
        return channels

    def kernel_shape(self, input_shape):
        """Shape of the kernel for an input."""
        width = self.width(input_shape)
        return (*self.kernel_size, width, width)

    def apply(self, inputs, kernel):
        """Applies the map to a batch."""
        convolution = self.convolution(int(kernel.shape[3]))
        return self.exponential(
            inputs, lambda x: convolution.apply(x, kernel), int(kernel.shape[3])
        )

    def exponential(self, inputs, convolution, width):
        """Rearranges a batch, applies the exponential of a map and keeps `filters` channels."""
        if self.strides != (1, 1):
            inputs = space_to_channels(inputs, self.strides, self.data_format)
        axis = self.channel_axis
        missing = width - inputs.shape[axis]
        if missing:
            inputs = ops.pad(inputs, [(0, missing if a == axis else 0) for a in range(4)])
        outputs = skew.truncated_exponential(convolution, inputs, self.terms)
        if self.filters < width:
            kept = [slice(None)] * axis + [slice(0, self.filters)]
            outputs = outputs[tuple(kept)]
        return scale(outputs, self.factor)

    def norm(self, kernel, input_shape):
        """Proven bound of the operator norm, on images of every size."""
        return applied_factor(self.factor) * skew.exponential_bound(kernel, self.terms)

    def bound(self, kernel, input_shape, dtype="float32", norm=2):
        # Term k of the series is A / k times term k - 1, which has a norm of |A|^(k-1) / (k-1)!
        # at most. What the product rounds off, gamma g |A|^(k-1) / k!, goes through the terms that
        # follow, of which the sum is below e^|A|. All in all g e^|A| (e^|A| - 1) / |A| for each
        # gamma; second orders enter by the norm of the rounded product.
        # In l-infinity every norm is a sum of absolute values.
        terms, step = kernel[..., 0].size + 3, convolved_sums(kernel, norm)
        shift = skew.shift_bound(kernel) if norm == 2 else step
        constant = (self.norm if norm == 2 else self.linf_norm)(kernel, input_shape)
        shift = shift + accumulated(terms, float_format(dtype).roundoff) * step
        grown = math.exp(min(shift, 100.0))
        return LayerBound(
            lipschitz=constant,
            roundings=terms + self.terms + 4,
            gain=max(1.0, applied_factor(self.factor)) * grown * (1.0 + step * grown),
        )

    def linf_norm(self, kernel, input_shape):
        """Proven bound of the operator norm in l-infinity: the series of the norms."""
        shift, term, total = convolved_sums(kernel, "inf"), 1.0, 1.0
        for k in range(1, self.terms):
            term *= shift / k
            total += term
        return applied_factor(self.factor) * total * UP

    def output_shape(self, input_shape):
        """Shape of the output for an input."""
        size = [input_shape[axis] for axis in self.spatial_axes]
        size = [n if n is None else n // s for n, s in zip(size, self.strides)]
        return self.with_size(input_shape, size)


def check_centered(kernel_size, padding):
    """Raises unless a convolution keeps the size of its image and its adjoint is one like it."""
    if any(k % 2 == 0 for k in kernel_size):
        raise checks.invalid(
            "kernel_size",
            "odd integers: an even kernel has no middle, and its adjoint would shift the image",
            kernel_size,
        )
    checks.choice("padding", padding, ("same", "circular"))


def check_circle(kernel_size, padding, size):
    """Raises for a circular image that the padding would go around more than once."""
    if padding == "circular" and any(
        n is not None and k // 2 > n for n, k in zip(size, kernel_size)
    ):
        raise checks.invalid(
            "kernel_size",
            f"at most twice the image size {tuple(size)} with padding='circular'",
            kernel_size,
        )


def convolved_sums(kernel, norm=2):
    """`partial_sums` of a convolution with stride 1, on images of every size, in either norm."""
    flat = kernel.reshape(-1, kernel.shape[3])
    if norm != 2:
        return row_sums(flat.T)
    return math.sqrt(math.prod(kernel.shape[:2])) * partial_sums(flat, len(flat))
