"""Models that draw random numbers: noticed, made repeatable, and decided by the mean of draws."""

import contextlib

import numpy as np
from keras import ops

from lipot import checks
from lipot.backend.keras_graph import random_states
from lipot.backend.squashing import before_squashing
from lipot.batches import spread
from lipot.evaluation.run.outputs import predict

# Draws whose mean attacks follow where the user names no number.
DRAWS = 16

_POINTS = 64
# Of the largest output: rounding differs from run to run on some machines, random defences more.
_ROUNDING = 1e-5
# Of the largest output: kernels for other batch sizes round otherwise, in bfloat16 by a percent.
_COMPANY = 0.05
_ALONE = 8
# A prime, and the seeds that every framework takes.
_STRIDE, _SEEDS = 7919, 2**31


def is_random(model, x, batch_size):
    """Whether a model answers differently when it is asked again.

    Args:
        model: Keras model.
        x: Points `(n, ...)`, of which some are asked.
        batch_size: Points at once.
    """
    some = np.array(x[spread(len(x), _POINTS)])
    # Where probabilities round to 0 and 1, two draws of them are equal.
    model = before_squashing(model) or model
    # Whatever type the model answers in, also one that is refused later.
    first, second = (predict(model, some, batch_size).astype("float64") for _ in range(2))
    return bool(np.max(np.abs(first - second)) > _ROUNDING * np.max(np.abs(first)))


def depends_on_batch(model, x, batch_size):
    """Whether a model answers otherwise about a point alone than about it among others.

    Args:
        model: Keras model that is not random.
        x: Points `(n, ...)`, of which some are asked.
        batch_size: Points at once.
    """
    rows = spread(len(x), _POINTS)
    some = np.array(x[rows])
    among = predict(model, some, batch_size).astype("float64")
    asked = spread(len(some), _ALONE)
    alone = np.concatenate([predict(model, some[row : row + 1], 1) for row in asked])
    change = np.max(np.abs(alone.astype("float64") - among[asked]))
    return bool(change > _COMPANY * np.max(np.abs(among)))


def draws(eot_samples, random):
    """Reads the argument `eot_samples` of `lipot.evaluate`: how many draws make one answer.

    Example:

    >>> draws(None, random=False), draws(None, random=True), draws(4, random=True)
    (1, 16, 4)
    """
    if eot_samples is None:
        return DRAWS if random else 1
    return checks.positive_int("eot_samples", eot_samples)


def mean_prediction(model, x, batch_size, samples):
    """The mean of what several calls of a model return, `(n, units)`."""
    if samples == 1:
        return predict(model, x, batch_size)
    return sum(predict(model, x, batch_size) for _ in range(samples)) / samples


@contextlib.contextmanager
def drawn_from(seed, model):
    """Has a model draw its random numbers from a seed, and go on afterwards where it was."""
    states = random_states(model)
    before = [ops.convert_to_numpy(state) for state in states]
    for place, (state, value) in enumerate(zip(states, before)):
        state.assign(np.array([(seed + _STRIDE * place) % _SEEDS, 0], value.dtype))
    try:
        yield
    finally:
        for state, value in zip(states, before):
            state.assign(value)
