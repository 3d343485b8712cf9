"""Auto-PGD: projected gradient ascent with momentum whose step halves where it stops helping."""

from typing import NamedTuple

import numpy as np
from keras import ops

from lipot import backend
from lipot.attacks.auto_attack.pursuit import beside, parts, pursue, setting
from lipot.math.attack_schedules import apgd_windows

_MOMENTUM = 0.75
_SHARE_OF_RISES = 0.75

# Steps between two looks at which points have fallen.
_CHUNK = 10


class APGDState(NamedTuple):
    """A search in progress; every field has one row a point.

    Attributes:
        x: Clean points.
        y: Labels, int32.
        target: Classes to end in, int32; the losses without a target ignore them.
        points: Current points.
        previous: The points one step before.
        gradient: Gradient of the loss at `points`.
        loss: Loss at `points`.
        best_points: The points of the largest loss so far.
        best_gradient: Gradient there.
        best_loss: The largest loss so far.
        checked_loss: `best_loss` at the last checkpoint.
        halved: Whether the step was halved at the last checkpoint.
        rises: Steps since then that raised the loss.
        step_size: Length of a step.
        adversarial: The first misclassified point, once there is one; against a random model,
            which may answer otherwise the next time, the points of the largest loss.
        fooled: Whether there is one that ends the search.
    """

    x: np.ndarray
    y: np.ndarray
    target: np.ndarray
    points: np.ndarray
    previous: np.ndarray
    gradient: np.ndarray
    loss: np.ndarray
    best_points: np.ndarray
    best_gradient: np.ndarray
    best_loss: np.ndarray
    checked_loss: np.ndarray
    halved: np.ndarray
    rises: np.ndarray
    step_size: np.ndarray
    adversarial: np.ndarray
    fooled: np.ndarray


class APGD:
    """Auto-PGD on one loss, compiled over a model.

    Args:
        victim: `Victim`.
        ball: `Ball`.
        loss: Callable `(y, target, logits) -> (batch,)` of one-hot labels and targets.
        steps: Number of steps.
        batch_size: Points of one call of the model.

    Reference:
        Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of
        diverse parameter-free attacks", algorithm 1.
    """

    def __init__(self, victim, ball, loss, *, steps, batch_size):
        self.ball = ball
        self.loss = loss
        self.steps = steps
        self._random, self._falls = victim.random, victim.falls
        self._ascend = victim.compile(self.ascend, APGDState, batch_size=batch_size)

    def search(self, x, y, target, *, eps, rng, report):
        """Looks for adversarial examples.

        Args:
            x: Clean points `(n, ...)`.
            y: Labels `(n,)`.
            target: Classes to end in `(n,)`.
            eps: Radius of the ball.
            rng: `numpy.random.Generator`.
            report: Callable `(points left, share done)`.

        Returns:
            `(adversarial, fooled)`.
        """
        return pursue(self._start(x, y, target, eps, rng), self._chunks(eps), report)

    def ascend(self, logits, state, eps, steps, done):
        """Takes up to `steps[0]` steps after `done[0]`, within `eps[0]`, while any point stands."""

        def runs(step, *state):
            fooled = APGDState(*state).fooled
            return ops.logical_and(step < steps[0], ops.logical_not(ops.all(fooled)))

        def body(step, *state):
            # The first step has nothing to take momentum from.
            pace = ops.where(done[0] + step <= 1, 1.0, _MOMENTUM)
            state = self._step(logits, APGDState(*state), eps[0], pace)
            return step + 1, *state

        start = (ops.convert_to_tensor(0, "int32"), *state)
        return APGDState(*backend.repeat_while(runs, body, start)[1:])

    def _step(self, logits, state, eps, pace):
        step_size = beside(state.step_size, state.x)
        ahead = self.ball.project(
            state.points + step_size * self.ball.steepest(state.gradient), state.x, eps
        )
        points = self.ball.project(
            state.points
            + pace * (ahead - state.points)
            + (1.0 - pace) * (state.points - state.previous),
            state.x,
            eps,
        )
        loss, gradient, wrong = self._evaluate(logits, points, state)
        better, wrong_now = beside(loss > state.best_loss, points), beside(wrong, points)
        best = ops.where(better, points, state.best_points)
        first = ops.logical_and(wrong_now, ops.logical_not(beside(state.fooled, points)))
        return state._replace(
            points=points,
            previous=state.points,
            gradient=gradient,
            loss=loss,
            best_points=best,
            best_gradient=ops.where(better, gradient, state.best_gradient),
            best_loss=ops.maximum(loss, state.best_loss),
            rises=state.rises + ops.cast(loss > state.loss, "int32"),
            adversarial=best if self._random else ops.where(first, points, state.adversarial),
            fooled=ops.logical_or(state.fooled, wrong),
        )

    def _evaluate(self, logits, points, state):
        def losses(points):
            values = logits(points)
            labels, targets = (
                ops.one_hot(index, values.shape[-1], dtype="float32")
                for index in (state.y, state.target)
            )
            return self.loss(labels, targets, values), values

        loss, values, pull = backend.pullback(losses, points)
        wrong = self._falls(values, state.y)
        gradient = ops.stop_gradient(pull(ops.ones_like(loss)))
        return ops.stop_gradient(loss), gradient, wrong

    def _start(self, x, y, target, eps, rng):
        points = self._surface_points(x, eps, rng)
        nowhere, lowest = np.zeros_like(x), np.full(len(x), -np.inf, "float32")
        return APGDState(
            x=x,
            y=y,
            target=target,
            points=points,
            previous=points,
            gradient=nowhere,
            loss=lowest,
            best_points=points,
            best_gradient=nowhere,
            best_loss=lowest,
            checked_loss=lowest,
            halved=np.ones(len(x), bool),
            rises=np.zeros(len(x), "int32"),
            step_size=np.zeros(len(x), "float32"),
            adversarial=x,
            fooled=np.zeros(len(x), bool),
        )

    def _surface_points(self, x, eps, rng):
        flat = (len(x), -1)
        if self.ball.norm == "inf":
            noise = rng.uniform(-1.0, 1.0, size=x.shape).reshape(flat)
            length = np.abs(noise).max(axis=1, keepdims=True)
        else:
            noise = rng.normal(size=x.shape).reshape(flat)
            length = np.linalg.norm(noise, axis=1, keepdims=True)
        shift = (eps * noise / length).reshape(x.shape).astype("float32")
        points = self.ball.project(ops.convert_to_tensor(x + shift), ops.convert_to_tensor(x), eps)
        return np.asarray(ops.convert_to_numpy(points))

    def _chunks(self, eps):
        radius = setting(eps, "float32")

        def ascend(steps, done):
            counts = setting(steps, "int32"), setting(done, "int32")
            return lambda state: self._ascend(state, radius, *counts)

        # A step of length zero evaluates the starting points.
        evaluate = ascend(1, 0)
        yield lambda state: _set_off(evaluate(state), eps), 0.0
        done = 0
        for window in apgd_windows(self.steps):
            for steps in parts(window, _CHUNK):
                advance = ascend(steps, done + 1)
                done += steps
                yield advance, done / self.steps
            yield lambda state, window=window: checkpoint(state, window), done / self.steps


def checkpoint(state, window):
    """Halves the step of the points it no longer helps and sends them back to their best.

    That is where the loss rose in no more than 75% of the steps since the last checkpoint, or
    where neither the step size nor the best loss has changed since.

    Args:
        state: `APGDState` of NumPy arrays.
        window: Steps since the last checkpoint.

    Returns:
        The next state.
    """
    stuck = ~state.halved & (state.checked_loss >= state.best_loss)
    halve = stuck | (state.rises <= _SHARE_OF_RISES * window)
    back = halve.reshape(-1, *(1,) * (state.x.ndim - 1))
    return state._replace(
        step_size=np.where(halve, state.step_size / 2.0, state.step_size).astype("float32"),
        points=np.where(back, state.best_points, state.points),
        gradient=np.where(back, state.best_gradient, state.gradient),
        # The loss belongs to the points: the next rise is counted from there.
        loss=np.where(halve, state.best_loss, state.loss),
        checked_loss=state.best_loss,
        halved=halve,
        rises=np.zeros_like(state.rises),
    )


def _set_off(state, eps):
    full, none = np.full_like(state.step_size, 2.0 * eps), np.zeros_like(state.rises)
    return state._replace(step_size=full, rises=none, checked_loss=state.best_loss)
