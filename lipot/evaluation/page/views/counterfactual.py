"""The nearest thing a network sees as another class, found along its gradient."""

from typing import Any, NamedTuple

import numpy as np

from lipot.evaluation.page.views.subject import lengths, margins_and_gradients

_TINY = 1e-12


class Counterfactuals(NamedTuple):
    """Points moved across a decision: `moved` and the classes seen `before` and `after`."""

    moved: Any
    before: Any
    after: Any


def step_across(target, x):
    r"""Moves points in one step to the mirror side of the decision next to them.

    $$ x - 2 \, m(x) \, \frac{\nabla m(x)}{\|\nabla m(x)\|^2} $$

    where $m$ is the logit of the predicted class above that of the runner-up. Where a 1-Lipschitz
    network keeps gradients at norm 1, $m$ over the norm of its gradient is the distance to the
    decision, and the step an optimal transport of the point to the other class.

    Args:
        target: ART estimator of a 1-Lipschitz network.
        x: Inputs `(n, ...)`.

    Returns:
        `Counterfactuals`.

    Reference:
        Serrurier et al., "Achieving robustness in classification using optimal transport with
        hinge regularization", section 5.
    """
    before, runner_up = _top_two(target, x)
    margins, gradient = margins_and_gradients(target, x, before, runner_up)
    size = np.maximum(lengths(gradient) ** 2, _TINY)
    step = 2.0 * margins.reshape(-1, *(1,) * (x.ndim - 1)) / size
    return _seen(target, (x - step * gradient).astype("float32"), before)


def walk_across(target, x, step, *, clip_values=None, steps=60):
    """Walks points downhill from their class until they are as surely in the runner-up's.

    Args:
        target: ART estimator.
        x: Inputs `(n, ...)`.
        step: l2 length of a step, for each input, `(n,)`.
        clip_values: Least and greatest value of an input, or `None`.
        steps: Steps to take at most.

    Returns:
        `Counterfactuals`; a point that never crossed is seen as before.
    """
    before, runner_up = _top_two(target, x)
    step = np.reshape(step, (-1, *(1,) * (x.ndim - 1)))
    goal, moved = None, x
    for _ in range(steps):
        margins, gradient = margins_and_gradients(target, moved, before, runner_up)
        goal = -margins if goal is None else goal
        going = (margins > goal).reshape(step.shape)
        if not going.any():
            break
        walked = moved - step * gradient / np.maximum(lengths(gradient), _TINY)
        walked = walked if clip_values is None else np.clip(walked, *clip_values)
        moved = np.where(going, walked, moved).astype("float32")
    return _seen(target, moved, before)


def _top_two(target, x):
    runner_up, top = np.argsort(target.predict(x), axis=1)[:, -2:].T
    return top, runner_up


def _seen(target, moved, before):
    return Counterfactuals(moved, before, target.predict(moved).argmax(axis=1))
