"""How a free kernel becomes an orthonormal one: one object, used by dense and convolution alike.

An orthogonalizer answers these questions about the kernel read as a matrix:

- `project`: what to do to the trainable kernel after each optimizer step;
- `train`: which matrix the training step uses, differentiable in the kernel;
- `train_stack`: the same for a stack of matrices, without a state between steps;
- `exact`: which matrix inference uses; computed once, so it may cost more.

`keeps_orthonormal` says whether the trained kernel itself stays orthonormal.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from lipot import checks
from lipot.math import orthogonal, stiefel


class TrainedMatrix(NamedTuple):
    """The matrix a training step uses, and the state to start the next step from."""

    matrix: Any
    vector: Any


@dataclasses.dataclass(frozen=True)
class Retraction:
    """Keeps the kernel itself orthonormal: Björck iterations after each optimizer step.

    As many as the step asks for, mostly one. The training step then uses the kernel as it is. Only
    the part of its gradient along the orthonormal matrices reaches the optimizer: one that scales
    each entry, such as Adam, would else spend much of its step on what the iteration takes back.
    """

    tolerance: float = 1e-3
    maxiter: int = 15
    keeps_orthonormal = True

    def project(self, matrix):
        return stiefel.retract(matrix)

    def train(self, matrix, vector):
        return TrainedMatrix(stiefel.with_tangent_gradient(matrix), vector)

    def train_stack(self, matrices):
        return stiefel.with_tangent_gradient(matrices)

    def exact(self, matrix):
        return _polar(matrix, self.tolerance, self.maxiter)


class _InsideTheStep:
    """An orthogonalizer that works in the training step and leaves the trained kernel alone."""

    keeps_orthonormal = False

    def project(self, matrix):
        return matrix


@dataclasses.dataclass(frozen=True)
class Bjorck(_InsideTheStep):
    """Spectral normalization, then Björck iterations, inside the training step (hKR, 4.1)."""

    tolerance: float = 1e-3
    maxiter: int = 15
    beta: float = 0.5
    maxiter_spectral: int = 3

    def train(self, matrix, vector):
        norm, vector = orthogonal.spectral_norm(matrix, vector, self.maxiter_spectral)
        matrix = matrix / ops.maximum(norm, _tiny(matrix))
        return TrainedMatrix(orthogonal.bjorck(matrix, self.maxiter, beta=self.beta), vector)

    def train_stack(self, matrices):
        bound = ops.stop_gradient(orthogonal.norm_bound(matrices, 4))[..., None, None]
        matrices = matrices / ops.maximum(bound, _tiny(matrices))
        return orthogonal.bjorck(matrices, self.maxiter, beta=self.beta)

    def exact(self, matrix):
        return _polar(matrix, self.tolerance, self.maxiter)


@dataclasses.dataclass(frozen=True)
class Cholesky(_InsideTheStep):
    """One Cholesky factorization inside the training step: exact, and not iterative."""

    tolerance: float = 1e-3
    maxiter: int = 15

    def train(self, matrix, vector):
        return TrainedMatrix(orthogonal.cholesky(matrix), vector)

    def train_stack(self, matrices):
        return orthogonal.cholesky(matrices)

    def exact(self, matrix):
        return _polar(orthogonal.cholesky(matrix), self.tolerance, self.maxiter)


@dataclasses.dataclass(frozen=True)
class SpectralOnly(_InsideTheStep):
    """Divides by the largest singular value and leaves the others below one."""

    maxiter_spectral: int = 3

    def train(self, matrix, vector):
        norm, vector = orthogonal.spectral_norm(matrix, vector, self.maxiter_spectral)
        return TrainedMatrix(matrix / ops.maximum(norm, _tiny(matrix)), vector)

    def exact(self, matrix):
        return matrix / ops.maximum(orthogonal.norm_bound(matrix), _tiny(matrix))


NAMES = ("retraction", "bjorck", "cholesky")


_CHECKS = {
    "orthogonalizer": functools.partial(checks.choice, choices=NAMES),
    "eps_bjorck": functools.partial(checks.optional, checks.positive_float),
    "beta_bjorck": functools.partial(checks.positive_float, most=0.5),
    "maxiter_spectral": checks.positive_int,
    "maxiter_bjorck": checks.positive_int,
}


def checked(settings):
    """The fields of a dataclass that are about its orthogonalizer, checked, by name.

    Raises:
        ValueError: One of them is out of its range.
    """
    names = [field.name for field in dataclasses.fields(settings) if field.name in _CHECKS]
    return {name: _CHECKS[name](name, getattr(settings, name)) for name in names}


def get(name, *, eps_bjorck, beta_bjorck, maxiter_bjorck, maxiter_spectral=1):
    """Builds the orthogonalizer a layer asks for, from settings that are checked.

    Args:
        name: `"retraction"`, `"bjorck"` or `"cholesky"`.
        eps_bjorck: Residual at which the inference kernel counts as orthonormal, or `None`
            for spectral normalization alone, whatever the name.
        beta_bjorck: Step of the Björck iteration, in `(0, 0.5]`.
        maxiter_bjorck: Björck iterations in a training step of `"bjorck"`.
        maxiter_spectral: Power iterations in a training step; stacks of matrices have none.

    Returns:
        An orthogonalizer.
    """
    if eps_bjorck is None:
        return SpectralOnly(maxiter_spectral)
    if name == "retraction":
        return Retraction(eps_bjorck, maxiter_bjorck)
    if name == "cholesky":
        return Cholesky(eps_bjorck, maxiter_bjorck)
    return Bjorck(eps_bjorck, maxiter_bjorck, beta_bjorck, maxiter_spectral)


def _polar(matrix, tolerance, maxiter):
    """The nearest orthonormal matrix, by Björck iterations from whatever matrix it is given."""
    if matrix.shape[-2] < matrix.shape[-1]:
        return orthogonal.transposed(_polar(orthogonal.transposed(matrix), tolerance, maxiter))
    # Singular values below one grow by 1.5 per iteration: 4 * maxiter reaches those that the
    # training iterations had not yet brought to one, and the loop stops as soon as it can.
    size = matrix.shape[-1]
    target = min(tolerance, 1e-6 + size * float(np.finfo("float32").eps))
    identity = ops.eye(size, dtype=matrix.dtype)

    def gram_of(current):
        return ops.matmul(orthogonal.transposed(current), current)

    def unfinished(step, current, gram):
        residual = orthogonal.frobenius_norm(gram - identity)
        return ops.logical_and(step < 4 * maxiter, ops.max(residual) > target)

    def iterate(step, current, gram):
        current = 1.5 * current - 0.5 * ops.matmul(current, gram)
        return step + 1, current, gram_of(current)

    matrix, gram = _within_reach(matrix, gram_of(matrix), identity)
    return ops.while_loop(unfinished, iterate, (0, matrix, gram))[1]


def _within_reach(matrix, gram, identity):
    """A matrix and its Gram matrix, divided where a squared singular value may exceed two.

    Past three a Björck step turns a direction around. What is compared with two is a bound, not
    an estimate: an eigenvalue of the Gram matrix is at most its Frobenius norm, and at most one
    more than that of its distance from the identity.
    """
    whole = orthogonal.frobenius_norm(gram, keepdims=True)
    distance = orthogonal.frobenius_norm(gram - identity, keepdims=True)
    square = ops.maximum(ops.minimum(whole, 1.0 + distance), _tiny(matrix))
    scale = ops.minimum(ops.sqrt(2.0 / square), 1.0)
    return scale * matrix, ops.square(scale) * gram


def _tiny(matrix):
    return ops.cast(1e-30, matrix.dtype)
