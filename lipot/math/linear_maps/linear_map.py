r"""What every linear map with a kernel answers, and how it rounds.

Rounding. A map computes each output by a chain of additions over the values it reads. The error of
the chain is a sum over its steps of `d * s`, where `s` holds every output's partial sum and
`|d| <= u`. Outputs that add in the same order have the partial sums `A_S x`, with `A_S` the columns
of a set `S`, and `|A_S x| <= |A| |x|`: no absolute values enter, so `n` steps lose at most
`n u |A| |x|`. Libraries treat the ends of tiles separately; with up to four different orders the
norm of `s` at most doubles. Rounding the products adds `u |A|_F |x|`. For a convolution the columns
are the taps and channels of the kernel read as a matrix, and an input value enters several patches:
its copies. In l-infinity the chain of each output counts by itself: `n` steps lose at most `n u`
times the sum of the absolute values of its row, times the largest value it reads.
"""

import dataclasses
import math

import numpy as np
from keras import ops

from lipot.math import orthogonal, stiefel
from lipot.math.norms import row_sums
from lipot.math.rounding import LayerBound, spectral_norm

# Partial sums in up to four orders: sqrt(4).
_ORDERS = 2.0


@dataclasses.dataclass(frozen=True)
class LinearMap:
    """A linear map described by plain numbers; the kernel comes with each question.

    A subclass defines `units`, `input_axes`, `channels`, `kernel_shape`, `apply`, `norm`, `sums`
    and `output_shape`, and what its parametrizations ask: `error_norm` and `gram_bound`. Kernels
    are tensors where the result is a tensor, and float64 arrays where it is a proven number.
    """

    def check(self, input_shape):
        """Raises for inputs that the map cannot be applied to.

        Args:
            input_shape: `(batch, ...)`, with `None` for unknown sizes.
        """
        self.channels(input_shape)

    def split_factor(self, factor):
        """Splits a factor into what the map keeps and what goes into its kernel.

        Returns:
            `(map, kernel_factor)`.
        """
        return self, factor

    def in_training(self):
        """The map that a training step applies: this one, unless a cheaper one will do."""
        return self

    def apply_orthonormal(self, inputs, kernel):
        """`apply` with a kernel that is orthonormal as a matrix, and whose gradient is tangent."""
        matrix = stiefel.with_tangent_gradient(orthogonal.as_matrix(kernel))
        return self.apply(inputs, ops.reshape(matrix, kernel.shape))

    def copies(self, input_shape):
        """How many sums one input value enters at most."""
        return 1.0

    def add_bias(self, outputs, bias):
        """Adds one number to each output channel."""
        return ops.add(outputs, bias)

    def linf_norm(self, kernel, input_shape):
        """Proven bound of the operator norm in l-infinity.

        The sums are those of the matrix of `sums`, one for each column. A padding that repeats
        values makes none larger.
        """
        matrix, _ = self.sums(kernel)
        return row_sums(matrix.T)

    def bound(self, kernel, input_shape, dtype="float32", norm=2):
        """`LayerBound` of the map with a kernel, without bias.

        Args:
            kernel: Array in float64, as it is applied.
            input_shape: Shape of the input, `(None, ...)`.
            dtype: Float type the map computes in.
            norm: `2` or `"inf"`, the norm to state the bound in.
        """
        matrix, terms = self.sums(kernel)
        if norm != 2:
            constant = self.linf_norm(kernel, input_shape)
            return LayerBound(lipschitz=constant, roundings=terms + 2, gain=constant)
        copied = math.sqrt(self.copies(input_shape))
        partial = partial_sums(matrix, terms)
        return LayerBound(
            lipschitz=self.norm(kernel, input_shape), roundings=terms + 2, gain=copied * partial
        )


def partial_sums(matrix, terms):
    """Bound of the norm of the partial sums and products of `x A`, for each unit of input.

    Args:
        matrix: Array in float64 whose columns add up to an output.
        terms: Number of terms of each sum.
    """
    return _ORDERS * spectral_norm(matrix) + float(np.linalg.norm(matrix)) / terms
