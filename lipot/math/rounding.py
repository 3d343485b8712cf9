r"""Floating point in certificates: what a model computes differs from what its formula says.

The model of arithmetic is the standard one: every operation returns the exact result times
`1 + d`, `|d| <= u`, plus at most the smallest normal number (results below it may be flushed).
"""

import hashlib
from typing import NamedTuple

import numpy as np
from keras import ops

from lipot.math.hermitian_maximum import largest_of_one
from lipot.math.norms import joined, norm_of_ones, row_sums, vector_norm
from lipot.math.precision import widest_float
from lipot.math.scaling import wide_dtype


class FloatFormat(NamedTuple):
    """A floating point type.

    Attributes:
        roundoff: Unit roundoff.
        smallest: Smallest normal number.
        largest: What no norm may exceed.
        least_factor: The smallest factor that it can hold; below `smallest` with fewer digits.
    """

    roundoff: float
    smallest: float
    largest: float
    least_factor: float


# Unit roundoff of float32 in a cast and in a sum; what products keep depends on the machine.
SINGLE = 2.0**-24
# Bounds are computed in float64: a few products and sums of them lose less than this much.
UP = 1.0 + 1e-12
# Norms stay far enough below overflow for squares; half precision layers square in float32.
_FORMATS = {
    "float64": FloatFormat(2.0**-53, 2.0**-1022, 1e150, 2.0**-1022),
    "float32": FloatFormat(SINGLE, 2.0**-126, 1e18, 2.0**-126),
    "bfloat16": FloatFormat(2.0**-8, 2.0**-126, 1e18, 2.0**-126),
    "float16": FloatFormat(2.0**-11, 2.0**-14, 16376.0, 2.0**-20),
}
# A weight below 2^-126, the smallest normal number, may count as zero: an error of at most the unit
# roundoff, 2^-24 or more there, times this, with room for layers of several maps.
FLUSHED_WEIGHT = 2.0**-98
# An error no certificate survives; infinity would turn into NaN when multiplied by zero.
_HOPELESS = 1e60
# Norms of matrices by a hash of their contents, and how many are kept.
_KNOWN_NORMS: dict[tuple, float] = {}
_MOST_KNOWN = 1000


class Affine(NamedTuple):
    """`slope * R + offset`, with both numbers nonnegative: a bound for inputs of norm `R`."""

    slope: float
    offset: float

    def __call__(self, norm):
        return self.slope * norm + self.offset

    def plus(self, other):
        return Affine(self.slope + other.slope, self.offset + other.offset)

    def times(self, factor):
        return Affine(self.slope * factor, self.offset * factor)


class LayerBound(NamedTuple):
    r"""Proven facts about one layer at inference, in l2 or in l-infinity over a whole sample.

    Attributes:
        lipschitz: Upper bound of the layer's Lipschitz constant.
        roundings: Length of the longest chain of roundings whose intermediate results have a
            norm of at most `gain * |input| + offset`.
        gain: See `roundings`.
        offset: See `roundings`.
        output_roundings: Roundings that are relative to the layer's output.
        peak: Where a value on the way may be larger than those that are rounded, as one that a
            later factor shrinks, its norm is at most `peak * |input| + peak_offset`: it must not
            overflow.
        peak_offset: See `peak`.
        growth: How many times itself becomes, at most, of a value on the way that is so small that
            it counts as zero.
        constants: Fixed factors that the layer applies one after the other, which a compiler may
            join with those of other layers: of each the smallest and the largest size.

    A layer that only moves, compares or drops values rounds nothing and needs `lipschitz` alone.
    """

    lipschitz: float
    roundings: int = 0
    gain: float = 0.0
    offset: float = 0.0
    output_roundings: int = 0
    peak: float = 0.0
    peak_offset: float = 0.0
    growth: float = 1.0
    constants: tuple = ()

    @classmethod
    def of_constant(cls, constant, inputs):
        """Bound of a layer of which only the constant is known.

        Args:
            constant: Proven Lipschitz constant, a float.
            inputs: Number of values in one sample of the input.
        """
        # The input roundings cover sums of inputs, the output ones what is done to the result.
        return cls(constant, inputs + 2, 2.0 * constant, 0.0, inputs + 2)

    def with_factor(self, factor):
        """This bound of a layer that applies one more fixed factor, a number or an array."""
        sizes = np.abs(np.asarray(factor, "float64"))
        # A product with zero stays one, whatever comes first.
        sizes = sizes[sizes > 0.0]
        if sizes.size == 0:
            return self
        extremes = float(sizes.min()), float(sizes.max())
        growth = self.growth * max(1.0, extremes[1])
        return self._replace(growth=growth, constants=(*self.constants, extremes))

    def with_bias(self, bias, output_shape, norm=2):
        """Bound of a linear layer with this bound whose outputs are shifted by a bias.

        Args:
            bias: Array in float64, added as often as it fits into an output.
            output_shape: Shape of the output, `(None, ...)`.
            norm: `2` or `"inf"`, the norm that the bound is stated in.
        """
        repeated = values_in(output_shape) / np.size(bias)
        size = float(vector_norm(bias, norm)) * norm_of_ones(repeated, norm)
        return self._replace(offset=self.offset + size)

    def with_activation(self, activation):
        """Bound of a linear layer with this bound, followed by an activation.

        The linear layer's result has a norm of at most `gain * |input| + offset` itself, and
        gamma_i + gamma_j + gamma_i gamma_j <= gamma_(i + j).
        """
        reach = max(activation.lipschitz, activation.gain)
        # The result itself may be larger than what the activation makes of it.
        top, top_offset = max(self.gain, self.peak), max(self.offset, self.peak_offset)
        steepest = max(1.0, activation.peak)
        return LayerBound(
            lipschitz=product_up(self.lipschitz, activation.lipschitz),
            roundings=self.roundings + activation.roundings,
            gain=self.gain * reach,
            offset=self.offset * reach + activation.offset,
            output_roundings=activation.output_roundings,
            peak=top * steepest,
            peak_offset=top_offset * steepest + activation.peak_offset,
            growth=max(self.growth * max(1.0, reach), activation.growth),
            constants=(*self.constants, *activation.constants),
        )


def product_up(first, second):
    """Product of two Lipschitz constants, never below it, not even where it underflows.

    Example:

    >>> product_up(1e-200, 1e-200) > 0.0, product_up(0.0, float("inf"))
    (True, 0.0)
    """
    if first == 0.0 or second == 0.0:
        # What came to infinity is finite in truth, and a constant of zero ends it.
        return 0.0
    return max(first * second * UP, _FORMATS["float64"].smallest)


def total(bounds):
    """Sum of affine bounds."""
    return Affine(*(float(sum(column)) for column in zip(*bounds)))


def joint(bounds, norm):
    """Bound of a vector made of parts with these bounds, by the triangle inequality in R^n."""
    return Affine(*(joined(column, norm) for column in zip(*bounds)))


def accumulated(roundings, roundoff):
    r"""Relative error of a chain of roundings, Higham's $\gamma_k = k u / (1 - k u)$."""
    product = roundings * roundoff
    return product / (1.0 - product) if product < 0.5 else _HOPELESS


def rounded_down(radius):
    """A certified radius as it is told, so that the closed ball of that size is certified.

    It was computed in float64, and is compared with distances that were too. Where that
    arithmetic failed nothing is certified.

    Args:
        radius: Array in float64.

    Example:

    >>> rounded_down(np.array([-1.0, np.nan, 0.0])).tolist()
    [0.0, 0.0, 0.0]
    >>> round(2.0 - float(rounded_down(2.0)), 12)
    2e-09
    """
    return np.where(np.isnan(radius), 0.0, np.maximum(radius, 0.0)) * (1.0 - 1e-9)


def float_format(dtype):
    """Format in which layers of a compute dtype really work on this machine.

    Accelerators may multiply float32 numbers with fewer bits (TensorFloat-32, bfloat16 passes).
    A product that must be exact in float32 tells.
    """
    if dtype not in _FORMATS:
        raise ValueError(
            f"Expected a model that computes in one of {sorted(_FORMATS)}. Received: dtype={dtype}"
        )
    # What is declared float64 is cast to float32 on JAX and PyTorch.
    dtype = widest_float() if dtype == "float64" else dtype
    found = _FORMATS[dtype]
    return found._replace(roundoff=_observed_roundoff()) if dtype == "float32" else found


def convolutions_are_sums():
    """Whether convolutions on this machine are sums of products of the values that they read.

    That is what bounds of their rounding count. Where tiles are transformed first, by Winograd's
    method or Fourier's, each output is rounded as its whole tile is: a kernel that is zero but for
    a one no longer returns small values next to large ones.
    """
    image = np.where(np.add.outer(np.arange(16), 2 * np.arange(16)) % 3 == 0, 2.0**20, 1.0)
    # Libraries transform images of batches and channels such as these.
    images = np.tile(image.astype("float32")[:, :, None], (16, 1, 1, 16))
    for size in (3, 5):
        kernel = np.zeros((size, size, 16, 16), "float32")
        kernel[size // 2, size // 2] = np.eye(16)
        found = ops.conv(images, kernel, padding="same", data_format="channels_last")
        if np.any(ops.convert_to_numpy(found) != images):
            return False
    return True


def values_in(shape):
    """Number of values in one sample; sizes that are not known count as one."""
    return int(np.prod([n or 1 for n in shape[1:]], initial=1.0))


def channelwise(scale, shift, input_shape, norm=2):
    """Bound of `a x + b` with one pair for each channel: a few roundings of parts and sum.

    Args:
        scale: The factors, an array.
        shift: The sizes of the shifts, an array.
        input_shape: Shape of the input, `(None, ...)`.
        norm: `2` or `"inf"`, the norm to state the bound in.
    """
    largest = float(np.max(np.abs(scale))) * UP
    positions = values_in(input_shape) / np.size(shift)
    return LayerBound(
        lipschitz=largest,
        roundings=8,
        gain=largest,
        offset=float(vector_norm(shift, norm)) * norm_of_ones(max(1.0, positions), norm),
    )


def applied(weight, dtype):
    """A weight as a layer applies it, rounded to its compute dtype, in float64."""
    weight = ops.cast(weight, dtype)
    if dtype == "bfloat16":
        weight = ops.cast(weight, "float32")
    return ops.convert_to_numpy(weight).astype("float64")


def applied_wide(weight, dtype):
    """A weight of a layer that computes in a dtype and applies this one in float32 at least."""
    return applied(weight, wide_dtype(dtype))


def applied_factor(factor, dtype="float32"):
    """A Python number as `lipot.math.scaling.scale` multiplies by it, if that is not smaller.

    Args:
        factor: Positive float.
        dtype: Float type of the layer that multiplies.

    Example:

    >>> applied_factor(1.5), applied_factor(1.1), applied_factor(1.1, "float64")
    (1.5, 1.100000023841858, 1.1)
    """
    return max(factor, float(np.asarray(factor, wide_dtype(dtype))))


def rounded_factor(factor, dtype="float32"):
    """How much larger `applied_factor` is than the number; one where it is the number itself."""
    return applied_factor(factor, dtype) / factor


def operator_norm(matrix, norm):
    """Norm of the product with a matrix `(outputs, inputs)`, never below it.

    Args:
        matrix: Array in float64.
        norm: `2` or `"inf"`, of the inputs and of the outputs.
    """
    return spectral_norm(matrix) if norm == 2 else row_sums(matrix)


def spectral_norm(matrix):
    """Largest singular value, raised by what its computation in float64 may lose.

    The largest eigenvalue of the smaller Gram matrix costs less than singular values. The product
    is wrong by at most `n u |A|_F^2`, and eigenvalues by a small multiple of their number.

    A proof asks for the norm of a kernel several times, and for a large one it takes seconds: what
    was found for an array is kept under a hash of its contents.
    """
    contents = hashlib.blake2b(np.ascontiguousarray(matrix), digest_size=32).digest()
    key = (matrix.shape, matrix.dtype, contents)
    if key not in _KNOWN_NORMS:
        if len(_KNOWN_NORMS) >= _MOST_KNOWN:
            _KNOWN_NORMS.clear()
        _KNOWN_NORMS[key] = _spectral_norm(matrix)
    return _KNOWN_NORMS[key]


def _spectral_norm(matrix):
    scale = np.max(np.abs(matrix), initial=0.0)
    if scale == 0.0 or not np.isfinite(scale):
        return float(scale)
    matrix = matrix / scale
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    square = largest_of_one(tall.T @ tall)
    lost = (len(tall) + 32 * tall.shape[1]) * 2.0**-53 * np.sum(tall * tall)
    return float(scale * np.sqrt(square + lost))


def _observed_roundoff():
    """Roundoff of float32 products: 2^-24, or that of the widest format that still fits."""
    for bits, roundoff in ((23, 2.0**-24), (15, 2.0**-16), (10, 2.0**-11)):
        if _products_keep(np.float32(1.0 + 2.0**-bits)):
            return roundoff
    return 2.0**-8


def _products_keep(value):
    identity = np.eye(64, dtype="float32")
    # PyTorch's oneDNN, which has a precision of its own, computes batches of 16 and more.
    images = np.full((16, 8, 8, 64), value)
    products = [ops.matmul(identity * value, identity)[0, 0]]
    for batch in (images[:1], images):
        convolved = ops.conv(batch, identity[None, None], data_format="channels_last")
        products.append(convolved[-1, 4, 4, 0])
    return all(float(product) == float(value) for product in products)
