"""The product with a matrix."""

import dataclasses

from keras import ops

from lipot import checks
from lipot.math import stiefel
from lipot.math.linear_maps.linear_map import LinearMap
from lipot.math.rounding import spectral_norm


@dataclasses.dataclass(frozen=True)
class Dense(LinearMap):
    """`x W` along the last axis.

    Args:
        units: Positive int, width of the output.

    Example:

    >>> import numpy as np
    >>> round(Dense(2).norm(np.diag([3.0, 4.0]), (None, 2)), 9)
    4.0
    """

    units: int

    def input_axes(self, channels=None):
        """Arguments of the `keras.layers.InputSpec` of inputs with so many features."""
        return {"min_ndim": 2, "axes": {} if channels is None else {-1: channels}}

    def channels(self, input_shape):
        """Number of features of an input; it must be known."""
        if input_shape[-1] is None:
            raise checks.invalid(
                "input_shape", "a fixed number of features on the last axis", tuple(input_shape)
            )
        return input_shape[-1]

    def kernel_shape(self, input_shape):
        """Shape of the kernel for an input."""
        return (self.channels(input_shape), self.units)

    def apply(self, inputs, kernel):
        """Applies the map to a batch."""
        return ops.matmul(inputs, kernel)

    def apply_orthonormal(self, inputs, kernel):
        """`apply` with an orthonormal kernel whose gradient is tangent."""
        return stiefel.orthonormal_product(inputs, kernel)

    def norm(self, kernel, input_shape):
        """Proven bound of the operator norm: the largest singular value."""
        return spectral_norm(kernel)

    def sums(self, kernel):
        """The matrix whose columns add up to an output, and the number of terms."""
        return kernel, len(kernel)

    def error_norm(self, input_shape):
        """Bound of the operator norm over the kernel's Frobenius norm."""
        return 1.0

    def gram_bound(self, kernel, input_shape):
        """In-graph bound of the operator norm of a kernel that is orthonormal as a matrix."""
        return ops.ones((), kernel.dtype)

    def norm_is_one(self):
        """Whether every kernel that is orthonormal as a matrix has operator norm one."""
        return True

    def output_shape(self, input_shape):
        """Shape of the output for an input."""
        return (*input_shape[:-1], self.units)
