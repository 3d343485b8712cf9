"""The steepest change of a function within a distance, by climbing."""

from keras import ops

from lipot.backend import repeat, value_and_input_gradient
from lipot.math.gradients import finite_gradient


def steepest_change(function, inputs, shifts, steps):
    r"""Climbs $|f(x + \delta) - f(x)| / |\delta|$ over shifts of one length.

    Args:
        function: Callable from a batch of inputs to outputs `(batch, m)`.
        inputs: x, float tensor `(batch, ...)`.
        shifts: Shifts to start from, shaped like `inputs`; their lengths are kept.
        steps: Number of steps.

    Returns:
        The largest ratio met for every input, `(batch,)`: a lower bound of the local constant.

    Example:

    A linear map is steepest along its first singular vector.

    >>> ratio = steepest_change(
    ...     lambda x: x * ops.convert_to_tensor([3.0, 1.0]),
    ...     ops.zeros((1, 2)), ops.convert_to_tensor([[0.1, 0.1]]), steps=10)
    >>> round(float(ratio[0]), 4)
    3.0
    """
    origin = function(inputs)
    length = _norm(shifts)

    def moved(shift):
        change = ops.cast(function(inputs + shift) - origin, "float32")
        return ops.sqrt(ops.sum(ops.square(change), axis=1) + 1e-24)

    def step(_, state):
        shift, best = state
        _, gradient = value_and_input_gradient(lambda s: ops.sum(moved(s)), shift)
        # The small share of the old direction keeps a zero gradient, of an answer that does not
        # move at all, from ending the climb.
        shift = finite_gradient(gradient) + 1e-6 * shift
        shift = shift * (length / ops.maximum(_norm(shift), 1e-20))
        return shift, ops.maximum(best, moved(shift))

    _, best = repeat(steps, step, (shifts, moved(shifts)))
    return best / ops.reshape(length, (-1,))


def _norm(values):
    axes = tuple(range(1, len(values.shape)))
    return ops.sqrt(ops.sum(ops.square(values), axis=axes, keepdims=True))
