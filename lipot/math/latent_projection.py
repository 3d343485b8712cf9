"""The nearest point that a generator can make, by gradient descent on its code."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from lipot import backend
from lipot.math.scaling import at_least_float32


def mean_squares(images: Any, others: Any) -> Any:
    """Mean squared difference of each pair of images, `(batch,)`, in float32 at least."""
    difference = at_least_float32(images) - at_least_float32(others)
    return ops.mean(ops.square(difference), axis=tuple(range(1, len(difference.shape))))


def descend_codes(
    generator: Any,
    images: Any,
    codes: Any,
    *,
    steps: int,
    step_size: float,
    momentum: float,
    variables: Sequence[Any] = (),
) -> Any:
    r"""Gradient descent with momentum on the code of each image.

    $$ v \leftarrow \text{momentum} \, v - \text{step\_size} \, \nabla_z \operatorname{mean}
       (G(z) - x)^2, \quad z \leftarrow z + v $$

    Args:
        generator: Callable G from codes to images that trains nothing.
        images: x, `(batch, ...)`.
        codes: First z, `(batch, code_size)`.
        steps: Number of steps.
        step_size: Positive float.
        momentum: Float in [0, 1).
        variables: All variables that the generator reads.

    Returns:
        The last z, which can be differentiated with respect to `images`.
    """

    def step(_, state, images):
        codes, velocity = state

        def distance(z):
            return mean_squares(generator(z), images)

        _, slope = backend.vjp(distance, codes, ops.ones_like(codes[:, 0]))
        velocity = momentum * velocity - step_size * slope
        return codes + velocity, velocity

    start = (codes, ops.zeros_like(codes))
    return backend.repeat_recomputed(steps, step, start, [images], variables)[0]


def nearest_generated(generator: Any, images: Any, codes: Any, **descent: Any) -> Any:
    """The nearest of what several starts of `descend_codes` lead to.

    Args:
        generator: Callable from codes to images that trains nothing.
        images: `(batch, ...)`.
        codes: First codes, `(batch, restarts, code_size)`.
        **descent: `steps`, `step_size`, `momentum` and `variables` of `descend_codes`.

    Returns:
        Images `(batch, ...)` that the generator makes.
    """
    restarts, code_size = codes.shape[1:]
    repeated = ops.repeat(images, restarts, axis=0)
    found = descend_codes(generator, repeated, ops.reshape(codes, (-1, code_size)), **descent)
    errors = ops.reshape(mean_squares(generator(found), repeated), (-1, restarts))
    best = ops.one_hot(ops.argmin(errors, axis=1), restarts, dtype=found.dtype)
    codes = ops.reshape(found, (-1, restarts, code_size))
    return generator(ops.sum(best[:, :, None] * codes, axis=1))
