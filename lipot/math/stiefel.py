r"""The manifold of orthonormal matrices: tangent directions, drift and the way back.

A matrix `(m, n)` is orthonormal when its `min(m, n)` singular values are one. Functions take a
stack of matrices `(..., m, n)` as well as one, except for `orthonormal_product`.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from lipot import backend
from lipot.math import orthogonal

# Power iterations end below the eigenvalue that they look for: by less than a fifth.
_ROOM = 1.25
# Columns from which products of blocks cost less than what they are put together with.
_WIDE = 512
# Drift along the directions followed up to which a deflation takes it away.
_IN_REACH = 0.5
# How much more may lead out of the directions than they show: of a direction that is new to them
# they see a part only. With 1 a step in several hundred went unseen, with a drift of 0.07.
_UNSEEN = 1.75
# Part of each direction followed that is always the same: so that none is lost.
_ELSEWHERE = 0.01


def retract(matrix, tolerance=0.05, iterations=40):
    r"""Brings a perturbed orthonormal matrix back: Björck steps, as many as the drift asks for.

    One step maps a singular value $1 + \delta$ to $1 - \tfrac32\delta^2 + O(\delta^3)$: after a
    small optimizer step one is enough, and whether it is is known before it is done. With
    $E = W^\top W - I$ the step leaves $-\tfrac34 E^2 - \tfrac14 E^3$, of norm at most
    $\tfrac34 r^2 + \tfrac14 r^3$ for $r \ge \|E\|_2$, of which a power iteration tells $r$.
    Where a singular value may lie above $\sqrt{2.5}$ the matrix is first divided by its norm, so
    that no step, however long, diverges.

    Args:
        matrix: `(m, n)`.
        tolerance: Drift $\|W^\top W - I\|_2$ that may be left.
        iterations: Positive int, the largest number of steps; each lets a small singular value
            grow by a half, so that 40 bring back one of 1e-6.

    Returns:
        `(m, n)` with singular values in `[0, 1]` (up to rounding), those that are not lost within
        the tolerance of one. A matrix that is not finite comes back as it is.

    Example:

    >>> from keras import ops
    >>> w = retract(ops.diag([1.01, 0.99]))
    >>> [round(float(w[i, i]), 4) for i in range(2)]
    [0.9998, 0.9999]
    >>> w = retract(ops.diag([20.0, 1.0]))
    >>> [round(float(w[i, i]), 2) for i in range(2)]
    [1.0, 0.98]
    """
    if matrix.shape[-2] < matrix.shape[-1]:
        return orthogonal.transposed(retract(orthogonal.transposed(matrix), tolerance, iterations))

    def unfinished(step, current, left):
        # A comparison with NaN is false: what is not finite ends the loop.
        return ops.logical_and(step < iterations, left > tolerance)

    def iterate(step, current, left):
        return (step + 1, *_scaled_bjorck_step(current))

    return backend.while_loop(unfinished, iterate, (1, *_scaled_bjorck_step(matrix)))[1]


def _scaled_bjorck_step(matrix):
    r"""One Björck step on a tall matrix, divided first where its norm may lie above $\sqrt{2.5}$.

    Args:
        matrix: `(..., m, n)` with `m >= n`.

    Returns:
        The matrix after the step, and an estimate of the drift $\|W^\top W - I\|_2$ that is left,
        with a quarter of room.
    """
    gram = _gram(matrix)
    # Below one a square is at most one away: what is further away lies above.
    before = _distance(gram)
    square = 1.0 + before
    # Should the estimate miss, the next step divides.
    far = square > 2.5
    # Up to 2.5 squares end in [0, 1]; one that is divided may end near zero.
    left = ops.where(far, ops.ones_like(before), 0.75 * before**2 + 0.25 * before**3)
    scale = ops.where(far, ops.rsqrt(square), ops.ones_like(square))[..., None, None]
    matrix = scale * (1.5 * matrix - 0.5 * scale**2 * ops.matmul(matrix, gram))
    return matrix, ops.max(left)


def _gram(matrix):
    """`W^T W`; of a wide one each product of two blocks of columns is computed once."""
    columns = matrix.shape[-1]
    wide = columns >= _WIDE and columns % 4 == 0
    # An accelerator starts ten products more slowly than it computes all of one.
    blocks = 4 if wide and not backend.has_accelerator() else 1
    parts = ops.split(matrix, blocks, axis=-1)
    rows = []
    for i, part in enumerate(parts):
        left = [orthogonal.transposed(row[i]) for row in rows]
        right = [ops.matmul(orthogonal.transposed(part), other) for other in parts[i:]]
        rows.append(left + right)
    return ops.concatenate([ops.concatenate(row, axis=-1) for row in rows], axis=-2)


def drift(matrix):
    r"""Tells how far a matrix is from orthonormal, $\|W^\top W - I\|_2$.

    Args:
        matrix: `(..., m, n)`.

    Returns:
        Tensor of the leading shape: an estimate with a quarter of room, at most the Frobenius
        norm.

    Example:

    >>> from keras import ops
    >>> round(float(drift(ops.diag([1.1, 1.0]))), 4)   # 1.1^2 - 1
    0.21
    """
    tall = matrix if matrix.shape[-2] >= matrix.shape[-1] else orthogonal.transposed(matrix)
    return _distance(_gram(tall))


class Deflated(NamedTuple):
    r"""A matrix brought back along a few directions.

    Attributes:
        matrix: `(..., m, n)`.
        directions: `(..., min(m, n), k)`, from which to look on at the next step.
        left: `(...)`, an estimate of the drift $\|W^\top W - I\|_2$ that is left; infinite where
            it is not finite, and where $\|T\|_F$ of the directions is 1/2 or more: such a matrix
            is left as it is.
    """

    matrix: Any
    directions: Any
    left: Any


def deflate(matrix, directions):
    r"""Takes away the drift of a nearly orthonormal matrix along a few directions.

    Tangent steps leave the manifold along a handful of directions only, those that the last steps
    turned most. One step of a subspace iteration on $E = W^\top W - I$ follows them from call to
    call: with orthonormal $P$ and $T = P^\top E P$,
    $W \leftarrow W \bigl(I + P\, ((I + T)^{-1/2} - I)\, P^\top\bigr)$ has no drift on $P$ where
    that is invariant under $E$, up to what the series of the root leaves. Six products with $k$
    vectors stand in for two with $n$.

    Args:
        matrix: `(..., m, n)`.
        directions: `(..., min(m, n), k)`, those of the last call; at first any.

    Returns:
        A `Deflated`.

    Example:

    >>> from keras import ops
    >>> w, directions = ops.diag([1.0, 1.01, 1.0]), ops.array([[0.1], [1.0], [0.1]])
    >>> for _ in range(3):
    ...     w, directions, left = deflate(w, directions)
    >>> round(float(w[1, 1]), 4)
    1.0
    """
    if matrix.shape[-2] < matrix.shape[-1]:
        found = deflate(orthogonal.transposed(matrix), directions)
        return found._replace(matrix=orthogonal.transposed(found.matrix))
    basis = _orthonormalized(directions)
    image = ops.matmul(matrix, basis)
    error = ops.matmul(orthogonal.transposed(matrix), image) - basis
    small = ops.matmul(orthogonal.transposed(basis), error)
    # What leads out of the directions stays, and so does the drift along all others: the last
    # direction has the least of those followed, and the most of those that are not.
    out = _UNSEEN * _norm_of_few(error - ops.matmul(basis, small))
    other = ops.sqrt(ops.min(ops.sum(ops.square(error), axis=-2), axis=-1))
    # The norm of [[0, out], [out, other]].
    others = 0.5 * (other + ops.sqrt(ops.square(other) + 4.0 * ops.square(out)))
    change, along = _inverse_root(small)
    left = ops.maximum(others, along)
    left = ops.where(ops.isfinite(left), left, float("inf"))
    moved = matrix + ops.matmul(ops.matmul(image, change), orthogonal.transposed(basis))
    return Deflated(moved, error, left)


def _norm_of_few(columns):
    """A bound of the spectral norm of `k` columns, above it by a factor `k^(1/4)` at most."""
    # Its fourth power would vanish in half precision.
    wide = ops.cast(columns, keras.backend.result_type(columns.dtype, "float32"))
    gram = ops.matmul(orthogonal.transposed(wide), wide)
    return ops.cast(ops.sqrt(orthogonal.frobenius_norm(gram)), columns.dtype)


def _inverse_root(small):
    """`(I + T)^(-1/2) - I` of small symmetric matrices, and how far it leaves `T` from zero.

    The first terms of the series, which cost no factorization. A matrix that is too large for them
    is left alone and its distance said to be infinite.
    """
    size = orthogonal.frobenius_norm(small)
    near = size < _IN_REACH
    square = ops.matmul(small, small)
    change = 0.375 * square - 0.5 * small - 0.3125 * ops.matmul(square, small)
    change = ops.where(near[..., None, None], change, ops.zeros_like(change))
    # (1 + t) (1 - t/2 + 3/8 t^2 - 5/16 t^3)^2 is 1 - 35/64 t^4 and terms of higher order, which
    # for a t of -1/2 are as much again.
    return change, ops.where(near, 1.1 * size**4, float("inf"))


def _orthonormalized(block):
    """Orthonormal columns of nearly the same span, or of a larger one where columns depend.

    By the Gram matrix, which for few columns costs less than to orthonormalize them one by one.
    """
    # Half precision has no factorization.
    wide = ops.cast(block, keras.backend.result_type(block.dtype, "float32"))
    sizes = ops.sqrt(ops.sum(ops.square(wide), axis=-2, keepdims=True))
    # What is not finite has no factorization.
    unit = ops.where(ops.isfinite(sizes), wide / ops.maximum(sizes, 1e-30), ops.zeros_like(wide))
    # Columns that depend, or had no drift at all, would leave no direction to follow.
    wide = unit + _ELSEWHERE * _generic(wide, wide.shape[-1])
    values, vectors = ops.eigh(ops.matmul(orthogonal.transposed(wide), wide))
    scaled = vectors * ops.rsqrt(ops.maximum(values, 0.01 * _ELSEWHERE**2))[..., None, :]
    return ops.cast(ops.matmul(wide, scaled), block.dtype)


def _distance(gram, iterations=8):
    """Estimates the spectral norms of symmetric matrices less one, with a quarter of room.

    Divided by the Frobenius norm a vector can only shrink, at a step at most by the root of the
    number of rows: too little to be lost in eight.
    """
    dtype = gram.dtype
    # Half precision would lose it.
    gram = ops.cast(gram, keras.backend.result_type(dtype, "float32"))
    error = gram - ops.eye(gram.shape[-1], dtype=gram.dtype)
    size = orthogonal.frobenius_norm(error, keepdims=True)
    scale = 1.0 / ops.maximum(size, 1e-30)
    vector = _generic(gram)
    for _ in range(iterations):
        vector = scale * ops.matmul(error, vector)
    before, after = (
        ops.sqrt(ops.sum(ops.square(part), axis=(-2, -1)))
        for part in (vector, ops.matmul(error, vector))
    )
    found = _ROOM * after / ops.maximum(before, 1e-30)
    return ops.cast(ops.minimum(found, size[..., 0, 0]), dtype)


def _generic(matrices, columns=1):
    """Unit vectors for each matrix, at right angles to no eigenvector one is likely to meet."""
    rows, numbers = np.arange(matrices.shape[-2]), np.arange(1, columns + 1)
    vectors = np.cos(rows[:, None] ** 1.5 * numbers)
    vectors = vectors / np.linalg.norm(vectors, axis=0)
    vectors = ops.convert_to_tensor(vectors, matrices.dtype)
    return ops.broadcast_to(vectors, (*matrices.shape[:-1], columns))


def tangent(matrix, direction):
    r"""Projects a direction onto the tangent space of the orthonormal matrices.

    That is $D - \tfrac12 W (W^\top D + D^\top W)$: to first order $W + D$ then stays orthonormal,
    and what is taken away is at right angles to all that do.

    Args:
        matrix: Orthonormal `(m, n)`.
        direction: `(m, n)`.

    Returns:
        `(m, n)`

    Reference:
        Edelman, Arias and Smith, "The geometry of algorithms with orthogonality constraints"
        (SIAM Journal on Matrix Analysis, 1998).

    Example:

    >>> from keras import ops
    >>> w = ops.eye(2)
    >>> ops.convert_to_numpy(tangent(w, ops.array([[5.0, 1.0], [3.0, 7.0]]))).tolist()
    [[0.0, -1.0], [1.0, 0.0]]
    """
    if matrix.shape[-2] < matrix.shape[-1]:
        return orthogonal.transposed(
            tangent(orthogonal.transposed(matrix), orthogonal.transposed(direction))
        )
    inner = ops.matmul(orthogonal.transposed(matrix), direction)
    return direction - 0.5 * ops.matmul(matrix, inner + orthogonal.transposed(inner))


@ops.custom_gradient
def with_tangent_gradient(matrix):
    """Returns an orthonormal matrix as it is; of its gradient only the tangent part passes.

    Args:
        matrix: Orthonormal `(m, n)`.

    Returns:
        `matrix`, whose gradient is `tangent(matrix, gradient)`.

    Example:

    >>> from keras import ops
    >>> ops.convert_to_numpy(with_tangent_gradient(ops.eye(2))).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    def gradient(*arguments, upstream=None):
        # Frameworks hand over the gradient by position or by name.
        return tangent(matrix, arguments[0] if upstream is None else upstream)

    return matrix, gradient


@ops.custom_gradient
def orthonormal_product(inputs, matrix):
    r"""`inputs @ matrix`; of the gradient of an orthonormal matrix only a tangent part passes.

    With $y = x W$, upstream gradient $D$ and $G = x^\top D$, the part is that of the canonical
    metric, $G - W G^\top W$. Backpropagation computes $d = D W^\top$, the gradient of the inputs,
    anyway, and $W G^\top W = (W D^\top)(x W) = d^\top y$: one product of the size of $G$'s, where
    `tangent` costs two of the size of $W^\top W$. Whichever is smaller for the number of rows at
    hand is done.

    Args:
        inputs: `(..., m)`.
        matrix: Orthonormal `(m, n)`, in the dtype of the inputs.

    Returns:
        `(..., n)`

    Reference:
        Edelman, Arias and Smith, "The geometry of algorithms with orthogonality constraints"
        (SIAM Journal on Matrix Analysis, 1998), section 2.4.

    Example:

    >>> from keras import ops
    >>> ops.convert_to_numpy(orthonormal_product(ops.array([[3.0, 4.0]]), ops.eye(2))).tolist()
    [[3.0, 4.0]]
    """
    outputs = ops.matmul(inputs, matrix)

    def gradient(*arguments, upstream=None):
        # Frameworks hand over the gradient by position or by name.
        upstream = arguments[0] if upstream is None else upstream
        of_inputs = ops.matmul(upstream, ops.transpose(matrix))
        sides = map(orthogonal.as_matrix, (inputs, upstream, of_inputs, outputs))
        return of_inputs, _canonical(matrix, *sides)

    return outputs, gradient


def _canonical(matrix, inputs, upstream, of_inputs, outputs):
    """`G - W G^T W` with `G = x^T D`, by the cheaper of two ways."""

    def from_activations():
        # x^T D - d^T y at once: one pass through a matrix of the kernel's size instead of three.
        left = ops.concatenate([inputs, of_inputs], axis=0)
        right = ops.concatenate([upstream, -outputs], axis=0)
        return ops.matmul(ops.transpose(left), right)

    def from_matrix():
        gradient = ops.matmul(ops.transpose(inputs), upstream)
        if matrix.shape[0] < matrix.shape[1]:
            inner = ops.matmul(matrix, ops.transpose(gradient))
            return gradient - ops.matmul(inner, matrix)
        return gradient - ops.matmul(matrix, ops.matmul(ops.transpose(gradient), matrix))

    rows = outputs.shape[0]
    if rows is not None:
        return from_activations() if rows <= 2 * min(matrix.shape) else from_matrix()
    few = ops.shape(outputs)[0] <= 2 * min(matrix.shape)
    return ops.cond(few, from_activations, from_matrix)
