"""Has attacks of ART move points, some of which may end the attack."""

from typing import Any, NamedTuple

import numpy as np

from lipot.interop.art.estimator import NotFinite


class Moved(NamedTuple):
    """What an attack made of some points.

    Attributes:
        points: Where it left them, `(n, ...)`.
        broken_off: Whether it broke off there, `(n,)`.
    """

    points: Any
    broken_off: Any


def move(attack, x, labels):
    """Has an attack move points, also those at which a model returns NaN on the way.

    ART's attacks know nothing of such models and end with an error. Halving the points finds those
    that it is about. Of them the input that the model has no answer to is what the attack found:
    whoever judges it will see whether that lies in the ball.

    Args:
        attack: Anything with the method `generate(x, labels)` of ART's attacks.
        x: Points, `(n, ...)`, at least one.
        labels: One-hot labels, `(n, classes)`.

    Returns:
        `Moved`.
    """
    try:
        return Moved(np.asarray(attack.generate(x, labels)), np.zeros(len(x), bool))
    except NotFinite as failure:
        if len(x) == 1:
            return Moved(_nearest(x, failure.points), np.ones(1, bool))
    half = len(x) // 2
    parts = move(attack, x[:half], labels[:half]), move(attack, x[half:], labels[half:])
    return Moved(*map(np.concatenate, zip(*parts)))


def _nearest(x, points):
    """The point nearest to the single one in `x`, or that one itself where there are none."""
    if points is None:
        return x
    shifts = np.max(np.abs(points - x).reshape(len(points), -1), axis=1)
    return points[np.argmin(shifts)][None]
