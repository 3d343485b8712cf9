"""FAB: walks along the decision boundary towards the clean point."""

from typing import NamedTuple

import numpy as np
from keras import ops

from lipot import backend
from lipot.attacks.auto_attack.pursuit import beside, parts, pursue, setting
from lipot.math.classes import misclassified
from lipot.math.gradients import finite_gradient
from lipot.math.hyperplane import to_hyperplane_in_box

# alpha_max, eta and beta of the paper: how far a step may turn back to the clean point, how far it
# goes beyond the boundary, and where the search goes on once it is past it.
_LARGEST_BIAS = 0.1
_OVERSHOOT = 1.05
_BACKWARD = 0.9

_SHORTEST = 1e-8

# Steps between two looks at which points have fallen.
_CHUNK = 10


class FABState(NamedTuple):
    """A search in progress; every field has one row a point.

    Attributes:
        x: Clean points.
        y: Labels, int32.
        target: Classes to end in, int32.
        points: Current points.
        adversarial: The nearest misclassified points so far.
        distance: Their distance from `x`.
        fooled: Whether that is within the ball.
    """

    x: np.ndarray
    y: np.ndarray
    target: np.ndarray
    points: np.ndarray
    adversarial: np.ndarray
    distance: np.ndarray
    fooled: np.ndarray


class FAB:
    """Targeted FAB, compiled over a model.

    Each step takes the logits of label and target as linear, projects the current and the clean
    point onto the hyperplane where they are equal, inside the box of the data, and goes a little
    beyond the mean of the two.

    Args:
        victim: `Victim`.
        ball: `Ball`.
        steps: Number of steps.
        batch_size: Points of one call of the model.

    Reference:
        Croce and Hein, "Minimally distorted adversarial examples with a fast adaptive boundary
        attack", algorithm 1, with the target of "Reliable evaluation", section 4.
    """

    def __init__(self, victim, ball, *, steps, batch_size):
        self.ball = ball
        self.steps = steps
        self.low = -np.inf if ball.clip_min is None else ball.clip_min
        self.high = np.inf if ball.clip_max is None else ball.clip_max
        self._walk = victim.compile(self.walk, FABState, batch_size=batch_size)

    def search(self, x, y, target, *, eps, rng, report):
        """Looks for adversarial examples; nothing is drawn at random. See `APGD.search`."""
        found, fooled = pursue(start(x, y, target), self._chunks(eps), report)
        # What did not fall may have come to lie outside the ball.
        return np.where(fooled.reshape(-1, *(1,) * (x.ndim - 1)), found, x), fooled

    def walk(self, logits, state, eps, steps):
        """Takes up to `steps[0]` steps; stops where no point stands in the ball of `eps[0]`."""

        def runs(step, *state):
            fooled = FABState(*state).fooled
            return ops.logical_and(step < steps[0], ops.logical_not(ops.all(fooled)))

        def body(step, *state):
            return step + 1, *self._step(logits, FABState(*state), eps[0])

        count = ops.convert_to_tensor(0, "int32")
        return FABState(*backend.repeat_while(runs, body, (count, *state))[1:])

    def _step(self, logits, state, eps):
        forward, back = self._shifts(*self._boundary(logits, state), state)
        ahead, behind = self._length(forward), self._length(back)
        bias = beside(ops.minimum(ahead / (ahead + behind), _LARGEST_BIAS), state.x)
        points = (1.0 - bias) * (state.points + _OVERSHOOT * forward)
        points = ops.clip(points + bias * (state.x + _OVERSHOOT * back), self.low, self.high)

        wrong = misclassified(logits(points), state.y)
        distance = self._length(points - state.x)
        nearer = ops.logical_and(wrong, distance < state.distance)
        distance = ops.where(nearer, distance, state.distance)
        return state._replace(
            points=ops.where(
                beside(wrong, points), state.x + _BACKWARD * (points - state.x), points
            ),
            adversarial=ops.where(beside(nearer, points), points, state.adversarial),
            distance=distance,
            fooled=distance <= eps,
        )

    def _boundary(self, logits, state):
        """The hyperplane `<normal, z> = offset` where target and label seem to be equal."""

        def lead(points):
            values = logits(points)
            target, label = (
                ops.one_hot(index, values.shape[-1], dtype="float32")
                for index in (state.target, state.y)
            )
            return ops.sum((target - label) * values, axis=-1)

        value, normal = backend.vjp(lead, state.points, ops.ones_like)
        normal, points = _rows(finite_gradient(ops.stop_gradient(normal))), _rows(state.points)
        return normal, ops.sum(normal * points, axis=-1) - ops.stop_gradient(value)

    def _shifts(self, normal, offset, state):
        """The ways from the current and from the clean points to the hyperplane."""
        starts = ops.concatenate([_rows(state.points), _rows(state.x)])
        twice = ops.concatenate([normal, normal]), ops.concatenate([offset, offset])
        shifts = to_hyperplane_in_box(starts, *twice, self.low, self.high, self.ball.norm)
        return (ops.reshape(half, ops.shape(state.x)) for half in ops.split(shifts, 2))

    def _length(self, shift):
        flat = _rows(shift)
        if self.ball.norm == "inf":
            length = ops.max(ops.abs(flat), axis=-1)
        else:
            length = ops.sqrt(ops.sum(ops.square(flat), axis=-1))
        return ops.maximum(length, _SHORTEST)

    def _chunks(self, eps):
        radius, done = setting(eps, "float32"), 0
        for steps in parts(self.steps, _CHUNK):
            count = setting(steps, "int32")
            done += steps
            yield lambda state, count=count: self._walk(state, radius, count), done / self.steps


def start(x, y, target):
    """The state of a search that begins at the clean points."""
    return FABState(
        x=x,
        y=y,
        target=target,
        points=x,
        adversarial=x,
        distance=np.full(len(x), np.inf, "float32"),
        fooled=np.zeros(len(x), bool),
    )


def _rows(points):
    return ops.reshape(points, (-1, int(np.prod(points.shape[1:]))))
