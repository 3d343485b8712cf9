"""Runs attacks one after the other, each on the points that still stand."""

import time
from typing import NamedTuple

import numpy as np

from lipot.attacks.survivors import survivors
from lipot.math.classes import classes_of

# What `AutoAttackResult.broken_by` says of a point no attack has broken.
STANDS = -1
WRONG = -2

# Values of one array of points: a search holds some ten of them in memory.
_POOL_VALUES = 2**24


class AutoAttackResult(NamedTuple):
    """What AutoAttack found.

    Attributes:
        x_adv: Array shaped like the clean points: an adversarial example where there is one,
            else the clean point, or of a random model the point that it is least sure of.
        broken_by: Int array `(n,)`: the index in `attacks` of the attack that broke the point,
            `STANDS` (-1) where none did, `WRONG` (-2) where the clean point was misclassified;
            the clean points of a random model are all attacked.
        attacks: Names of the attacks in their order.
        seconds: Dict from the name of each attack to the seconds it took.
    """

    x_adv: np.ndarray
    broken_by: np.ndarray
    attacks: tuple
    seconds: dict

    @property
    def stands(self):
        """Bool array `(n,)`: which points are classified rightly whatever was tried."""
        return self.broken_by == STANDS

    @property
    def robust_accuracy(self):
        """Share of the points that stand."""
        return float(np.mean(self.stands))


class Search(NamedTuple):
    """An attack, ready to run on a model.

    Attributes:
        name: Name of the attack.
        search: Callable `(x, y, target, *, rng, report) -> (adversarial, fooled)`.
        runs: Number of runs, each at the next likely class or from another start.
        calls: Calls of the model for a point that stands to the end of all runs.
    """

    name: str
    search: object
    runs: int
    calls: float


def run_in_turn(victim, searches, x, y, logits, *, batch_size, seed, progress):
    """Runs attacks in turn.

    Args:
        victim: `Victim`.
        searches: `Search` of each attack.
        x: Clean points `(n, ...)`.
        y: Labels `(n,)`.
        logits: Logits of the clean points `(n, classes)`.
        batch_size: Points of one call of the model.
        seed: Integer.
        progress: `Progress`.

    Returns:
        An `AutoAttackResult`.
    """
    names = tuple(search.name for search in searches)
    result = AutoAttackResult(
        x_adv=x.copy(),
        # One wrong answer of a random model says little: it may be right the next time.
        broken_by=np.where(victim.random | (classes_of(logits) == y), STANDS, WRONG),
        attacks=names,
        seconds=dict.fromkeys(names, 0.0),
    )
    targets = _likeliest_others(logits, y)
    size = max(_POOL_VALUES // max(int(np.prod(x.shape[1:])), 1), batch_size)
    for start in range(0, len(x), size):
        rows = slice(start, start + size)
        pool = _Pool(x[rows], y[rows], targets[rows], result.x_adv[rows], result.broken_by[rows])
        progress.begin(waiting=max(len(x) - start - size, 0))
        for index, search in enumerate(searches):
            begun = time.perf_counter()
            rng = np.random.default_rng((seed, start, index))
            pool.broken_by[_attack(victim, search, pool, rng, progress)] = index
            result.seconds[search.name] += time.perf_counter() - begun
    return result


class _Pool(NamedTuple):
    """Points searched together; `x_adv` and `broken_by` are views that are written to."""

    x: np.ndarray
    y: np.ndarray
    targets: np.ndarray
    x_adv: np.ndarray
    broken_by: np.ndarray


def _attack(victim, search, pool, rng, progress):
    """Runs one attack, writes what it finds to `x_adv`, and tells which points it broke."""
    fallen = np.zeros(len(pool.x), bool)
    runs = survivors(range(search.runs), lambda _: (pool.broken_by == STANDS) & ~fallen)
    for run, rows in runs:
        report = progress.run(search.name, run, search.runs, len(rows))
        # Of more runs than targets none is at a target.
        target = pool.targets[rows, run % pool.targets.shape[1]]
        found, fell = search.search(pool.x[rows], pool.y[rows], target, rng=rng, report=report)
        if victim.random:
            fell = _keep_worse(victim, pool, rows, found)
        else:
            pool.x_adv[rows[fell]] = found[fell]
        fallen[rows] = fell
    if victim.random or not fallen.any():
        return fallen
    # A compiled search may round differently: what counts is the model's own arithmetic.
    wrong = classes_of(victim.logits(pool.x_adv)) != pool.y
    missed = fallen & ~wrong
    pool.x_adv[missed] = pool.x[missed]
    return fallen & wrong


def _keep_worse(victim, pool, rows, found):
    """Keeps of what an attack found, and another before, what the model is less sure of.

    Returns:
        Which of it the model misclassifies, asked twice.
    """
    y = pool.y[rows]
    worse = victim.leads(found, y) < victim.leads(pool.x_adv[rows], y)
    pool.x_adv[rows[worse]] = found[worse]
    return (victim.leads(pool.x_adv[rows], y) < 0.0) & (victim.leads(pool.x_adv[rows], y) < 0.0)


def _likeliest_others(logits, y):
    """Classes other than the label, likeliest first: `(n, classes), (n,) -> (n, classes - 1)`."""
    order = np.argsort(-logits, axis=1, kind="stable").astype("int32")
    return order[order != y[:, None]].reshape(len(y), -1)
