"""Runs a search in chunks of steps, on the points that still stand."""

import numpy as np
from keras import ops


def pursue(state, chunks, report):
    """Advances a search chunk by chunk and drops each row as soon as it has fallen.

    Args:
        state: NamedTuple of arrays with the same number of rows, among them `x` (the clean
            points), `adversarial` and `fooled`.
        chunks: Iterable of pairs: a callable from a state to the next, and the share of the
            search that is done after it.
        report: Callable `(rows left, share done)`, called after each chunk.

    Returns:
        `(adversarial, fooled)` for the rows of `state` as they came, when each fell or at the end.
    """
    found, fooled = np.array(state.x), np.zeros(len(state.x), bool)
    rows = np.arange(len(state.x))
    for advance, share in chunks:
        state = advance(state)
        found[rows[state.fooled]] = state.adversarial[state.fooled]
        fooled[rows[state.fooled]] = True
        stands = ~state.fooled
        rows, state = rows[stands], type(state)(*(field[stands] for field in state))
        report(len(rows), share)
        if not len(rows):
            break
    found[rows] = state.adversarial
    return found, fooled


def parts(steps, longest):
    """Splits a number of steps into chunks of `longest` steps and a last shorter one."""
    full, rest = divmod(steps, longest)
    return [longest] * full + [rest] * (rest > 0)


def setting(number, dtype):
    """A number as a compiled step takes it: an array of one, so that no value is compiled in."""
    return np.array([number], dtype)


def beside(values, points):
    """Shapes one value a row so that it broadcasts against the points."""
    return ops.reshape(values, (-1,) + (1,) * (len(points.shape) - 1))
