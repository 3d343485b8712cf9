"""HopSkipJump from starts that are the same in every run."""

import numpy as np
from art.attacks.evasion import HopSkipJump

from lipot.evaluation.attacks.spec import EVERY_POINT, STANDARD, AttackSpec
from lipot.math.norms import order


class StartedHopSkipJump(HopSkipJump):
    """ART's HopSkipJump, started from the nearest misclassified point of a pool.

    ART starts from uniform noise, drawn one image at a time from a generator that cannot be
    seeded. Here the pool is made of the other points of the batch and of seeded noise: a point
    of another class is nearer, and networks tend to give all noise one class, whose points noise
    could never start.

    Args:
        *args: As for `art.attacks.evasion.HopSkipJump`.
        **kwargs: Likewise; `init_size` is the number of noise images.

    Reference:
        Chen, Jordan and Wainwright, "HopSkipJumpAttack: a query-efficient decision-based
        attack", 2020.
    """

    def generate(self, x, y=None, **kwargs):
        """Moves inputs; see `HopSkipJump.generate`."""
        low, high = self.estimator.clip_values
        noise = np.random.uniform(low, high, (self.init_size, *x.shape[1:])).astype(x.dtype)
        pool = np.concatenate([x, noise])
        classes = np.argmax(self.estimator.predict(pool), axis=1)
        starts = nearest_of_another_class(x, classes[: len(x)], pool, classes)
        return super().generate(x, y, x_adv_init=starts, **kwargs)

    def _init_sample(self, x, y, y_p, init_pred, adv_init, mask, clip_min, clip_max):
        return None if init_pred == y_p else (adv_init, y_p)


def nearest_of_another_class(x, classes, pool, pool_classes):
    """For each row the nearest row of a pool in another class, or itself where there is none.

    Example:

    >>> pool = np.array([[0.0], [1.0], [5.0]])
    >>> nearest_of_another_class(pool[:2], np.array([0, 1]), pool, np.array([0, 1, 1]))
    array([[1.],
           [0.]])
    """
    flat, candidates = (a.reshape(len(a), -1).astype("float64") for a in (x, pool))
    # |a - b|^2 = |a|^2 + |b|^2 - 2 a.b; |a|^2 changes no order.
    distances = np.sum(candidates**2, axis=1) - 2.0 * flat @ candidates.T
    distances[classes[:, None] == pool_classes[None, :]] = np.inf
    nearest = np.argmin(distances, axis=1)
    found = np.isfinite(np.min(distances, axis=1)).reshape(-1, *[1] * (x.ndim - 1))
    return np.where(found, pool[nearest], x)


def _build(target, norm, eps, *, steps, queries):
    return StartedHopSkipJump(
        target,
        norm=order(norm),
        max_iter=steps,
        max_eval=queries,
        init_eval=min(100, queries),
        batch_size=EVERY_POINT,
        verbose=False,
    )


SPEC = AttackSpec(
    "hopskipjump",
    _build,
    {"steps": 10, "queries": 500},
    (2, "inf"),
    needs_gradient=False,
    cost=4000,
    suites=STANDARD,
)
