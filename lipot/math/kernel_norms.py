"""Norms of kernels: divided by, estimated while training, and what rounding adds to them."""

import math

from keras import ops

from lipot.backend import vjp
from lipot.math import orthogonal
from lipot.math.scaling import largest_entry


def rounding_allowance(rank, shape, dtype, error_norm=1.0):
    """What an orthonormal kernel is divided by, so that its rounding keeps the norm at one.

    Args:
        rank: Square of the kernel's Frobenius norm.
        shape: Shape of the kernel.
        dtype: The dtype the kernel will be rounded to.
        error_norm: Bound of |linear map| / |kernel|_F, for kernels that hold rounding errors.
    """
    # |round(W) - W|_F <= u |W|_F, so W / (1 + u |W|_F * factor) stays within norm one after
    # rounding to a 16-bit compute dtype. In float32 the products before leave some 1e-7.
    if dtype not in ("float16", "bfloat16"):
        return 1.0 + 1e-6
    unit_roundoff = {"float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype]
    subnormal = {"float16": 2.0**-25, "bfloat16": 2.0**-134}[dtype]
    frobenius_error = unit_roundoff * rank**0.5 + subnormal * math.prod(shape) ** 0.5
    return float(1.0 + frobenius_error * error_norm + 1e-6)


def divide_by_norm(kernel, axis, compute_dtype):
    """Divides a kernel by its Euclidean norm along `axis`, rounding to `compute_dtype` included.

    Args:
        kernel: Tensor.
        axis: Axis of the norm, or `None` for the whole kernel.
        compute_dtype: The dtype the kernel will be rounded to: a relative rounding error `u` of
            each entry changes the norm by `u` at most, so the result is shrunk by `1 + 2u`.

    Returns:
        Tensor like `kernel`, of norm at most one; zero stays zero.
    """
    kernel = kernel / largest_entry(kernel, axis)
    square = ops.sum(ops.square(kernel), axis=axis, keepdims=True)
    # The root has no slope at zero.
    norm = ops.sqrt(ops.where(square > 0.0, square, ops.ones_like(square)))
    unit_roundoff = {"float16": 2.0**-11, "bfloat16": 2.0**-8}.get(compute_dtype, 2.0**-22)
    return kernel / (norm * (1.0 + 2.0 * unit_roundoff))


def power_step(linear_map, kernel, image):
    """One power iteration on a convolution, and its differentiable norm at the image reached.

    Args:
        linear_map: `(images, kernel) -> images`.
        kernel: The kernel.
        image: `(1, height, width, channels)`, where the previous step stopped.

    Returns:
        `(norm, image)`.
    """
    frozen = ops.stop_gradient(kernel)
    _, image = vjp(lambda x: linear_map(x, frozen), image, lambda outputs: outputs)
    image = ops.stop_gradient(orthogonal.unit(image))
    return ops.norm(ops.ravel(linear_map(image, kernel))), image
