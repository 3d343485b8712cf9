"""Penalties that pull kernels towards the orthogonal ones."""

import keras
import numpy as np
from keras import ops

from lipot import checks
from lipot.math.orthogonality import (
    convolution_defect,
    dense_defect,
    orthogonal_convolution_exists,
)
from lipot.math.scaling import at_least_float32


@keras.saving.register_keras_serializable(package="lipot")
class OrthDenseRegularizer(keras.regularizers.Regularizer):
    r"""Penalizes a dense kernel whose singular values are not one.

    `lambda_orth * ||W^T W - I||_F^2`, with $W W^\top$ where the layer widens.

    Args:
        lambda_orth: Non-negative float, the weight of the penalty.

    Reference:
        Bansal, Chen and Wang, "Can we gain more from orthogonality regularizations in training
        deep CNNs?" (NeurIPS 2018).

    Example:

    >>> from keras import ops
    >>> float(OrthDenseRegularizer(0.5)(ops.diag([2.0, 1.0])))
    4.5
    """

    def __init__(self, lambda_orth=1.0):
        self.lambda_orth = checks.nonnegative_float("lambda_orth", lambda_orth)

    def __call__(self, x):
        if len(x.shape) != 2:
            raise checks.refused(
                "x", "a dense kernel (fan_in, units)", f"a kernel of shape {tuple(x.shape)}"
            )
        return self.lambda_orth * dense_defect(at_least_float32(x))

    def get_config(self):
        return {"lambda_orth": self.lambda_orth}


@keras.saving.register_keras_serializable(package="lipot")
class LorthRegularizer(keras.regularizers.Regularizer):
    r"""Penalizes a convolution that is not orthogonal: `lambda_lorth` times $L_\text{orth}$.

    See `lipot.math.orthogonality.convolution_defect`. It bounds how far the singular values of
    the convolution are from one, and proves nothing by itself.

    Args:
        kernel_shape: `(kh, kw, C, M)` to check at construction that an orthogonal kernel
            exists, or `None` to check when the kernel comes.
        stride: Positive int, the stride of the layer.
        lambda_lorth: Non-negative float, the weight of the penalty.
        dim: Number of spatial axes; must be 2.
        conv_transpose: Whether the kernel is that of a transposed convolution. The layer is
            then the adjoint of the convolution with this kernel, and both are orthogonal
            together: the penalty is the same.

    Raises:
        ValueError: An argument out of its range, or a shape without any orthogonal kernel.

    Reference:
        Achour, Malgouyres and Mamalet, "Existence, stability and scalability of orthogonal
        convolutional neural networks" (JMLR 2022).

    Example:

    >>> from keras import ops
    >>> float(LorthRegularizer(lambda_lorth=2.0)(ops.ones((1, 2, 1, 1))))
    6.0
    """

    def __init__(self, kernel_shape=None, stride=1, lambda_lorth=1.0, dim=2, conv_transpose=False):
        self.stride = checks.positive_int("stride", stride)
        self.lambda_lorth = checks.nonnegative_float("lambda_lorth", lambda_lorth)
        self.dim = checks.integer("dim", dim, "2, for 2D convolutions", least=2, most=2)
        self.conv_transpose = checks.boolean("conv_transpose", conv_transpose)
        self.set_kernel_shape(kernel_shape)

    def set_kernel_shape(self, shape):
        """Fixes the shape of the kernel, after checking that an orthogonal one exists.

        Args:
            shape: `(kh, kw, C, M)`, or `None` to leave it open.
        """
        self.kernel_shape = None if shape is None else self._checked(shape)

    def __call__(self, x):
        shape = self._checked(tuple(x.shape))
        if self.kernel_shape not in (None, shape):
            raise checks.refused(
                "x", f"a kernel of shape {self.kernel_shape}", f"a kernel of shape {shape}"
            )
        return self.lambda_lorth * self.compute_lorth(x)

    def compute_lorth(self, w):
        r"""The penalty before its weight, $L_\text{orth}$ of a kernel."""
        return convolution_defect(at_least_float32(ops.convert_to_tensor(w)), self.stride)

    def _checked(self, shape):
        sizes = isinstance(shape, list | tuple) and all(
            isinstance(n, int | np.integer) for n in shape
        )
        if (
            not sizes
            or len(shape) != 4
            or min(shape) < 1
            or not orthogonal_convolution_exists(shape, self.stride)
        ):
            raise checks.refused(
                "kernel_shape",
                "(kh, kw, C, M) with M <= kh * kw * C where M <= stride^2 * C, else stride <= "
                "min(kh, kw): no other convolution can be orthogonal",
                f"kernel_shape={shape}, stride={self.stride}",
            )
        return tuple(map(int, shape))

    def get_config(self):
        return {
            "kernel_shape": self.kernel_shape,
            "stride": self.stride,
            "lambda_lorth": self.lambda_lorth,
            "dim": self.dim,
            "conv_transpose": self.conv_transpose,
        }


@keras.saving.register_keras_serializable(package="lipot")
class Lorth2D(LorthRegularizer):
    r"""$L_\text{orth}$ of a 2D convolution, unweighted: `LorthRegularizer` with weight 1.

    Args:
        kernel_shape: `(kh, kw, C, M)`, or `None` to check when the kernel comes.
        stride: Positive int, the stride of the layer.
        conv_transpose: See `LorthRegularizer`.

    Reference:
        Wang et al., "Orthogonal convolutional neural networks" (CVPR 2020).

    Example:

    >>> from keras import ops
    >>> float(Lorth2D().compute_lorth(ops.ones((1, 2, 1, 1))))
    3.0
    """

    def __init__(self, kernel_shape=None, stride=1, conv_transpose=False):
        super().__init__(kernel_shape=kernel_shape, stride=stride, conv_transpose=conv_transpose)

    def get_config(self):
        return {
            "kernel_shape": self.kernel_shape,
            "stride": self.stride,
            "conv_transpose": self.conv_transpose,
        }
