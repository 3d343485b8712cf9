"""Runs attacks one after the other, each on the points that still stand."""

import contextlib
import hashlib
import random
import time
import warnings
from typing import NamedTuple

import numpy as np

from lipot import checks, notices
from lipot.attacks.auto_attack import STANDS, WRONG
from lipot.attacks.survivors import survivors
from lipot.evaluation.run import storage
from lipot.evaluation.run.ball import distances, project
from lipot.evaluation.run.randomness import drawn_from


class Outcome(NamedTuple):
    """What the attacks left.

    Attributes:
        broken_by: `(radii, n)`, as in `Evaluation`, a row for each radius.
        x_adv: `(radii, n, ...)`: a misclassified point inside the ball where one was found, the
            clean point elsewhere.
        seconds: Dictionary from attack to seconds.
    """

    broken_by: np.ndarray
    x_adv: np.ndarray
    seconds: dict


def run(task, specs, *, seed, store, progress, pool=None):
    """Attacks every point until it breaks or no attack is left.

    Each step, an attack at a radius, goes to the points that stood when it began, in chunks. A
    chunk's random numbers depend on its own name alone and its result is stored with the points
    that it is about, so a run that is interrupted anywhere and started again makes the same steps.
    Where another machine found otherwise before, other points stand, and theirs is not taken.

    Args:
        task: `Task`.
        specs: `AttackSpec`s in the order to run them.
        seed: Integer, from which each chunk's own is derived.
        store: `checkpoints.Folder` or `checkpoints.Memory`.
        progress: What is told of each step; see `lipot.progress`.
        pool: `lipot.workers.Pool` prepared with `task.remake`, to attack chunks side by side, or
            `None`.

    Returns:
        An `Outcome`.
    """
    outcome = _before(task, specs)
    steps = _steps(task, specs)
    for (place, index, step), rows in survivors(steps, lambda at: _standing(outcome, at)):
        spec = specs[index]
        ahead = [specs[at.index].cost * _standing(outcome, at).sum() for at in steps[place:]]
        progress.plan(spec.name, ahead)
        missing = []
        for chunk, start in enumerate(range(0, len(rows), task.batch_size)):
            name = f"attack-{index:02d}-{step:02d}-{chunk:04d}"
            part = rows[start : start + task.batch_size]
            found = store.load(name)
            if found is None or not np.array_equal(found.get("rows", ()), part):
                missing.append((name, part, _seed(seed, spec.name, step, chunk)))
                continue
            _record(outcome, index, spec.name, part, found)
            progress.skip(spec.cost * len(part))
        jobs = ((spec, step, task.x[part], task.y[part], draws) for _, part, draws in missing)
        for place, found, worker in _results(task, jobs, pool):
            name, part, _ = missing[place]
            store.save(name, {**found, "rows": part})
            _record(outcome, index, spec.name, part, found)
            progress.advance(spec.cost * len(part), worker, len(part))
    progress.plan("attacked", [])
    return outcome


def _results(task, jobs, pool):
    """Attacks the chunks of a step, here or by workers: `(place, found, worker)` as they come."""
    if pool is not None:
        yield from pool.map(attack, jobs)
        return
    for place, job in enumerate(jobs):
        yield place, attack(task, *job), None


def _before(task, specs):
    wrong = task.predictions != task.y
    broken_by = np.tile(np.where(wrong, WRONG, STANDS), (len(task.eps), 1))
    x_adv = storage.like(task.x, len(task.eps))
    return Outcome(broken_by, x_adv, {spec.name: 0.0 for spec in specs})


class _Step(NamedTuple):
    """An attack at a radius: its place among the steps, and both their indices."""

    place: int
    index: int
    radius: int


def _steps(task, specs):
    """Every attack at every radius; the least one stands for all where one run serves all."""
    pairs = [
        (index, radius)
        for index, spec in enumerate(specs)
        for radius in range(1 if spec.searches_distance(task.norm) else len(task.eps))
    ]
    return [_Step(place, *pair) for place, pair in enumerate(pairs)]


def _standing(outcome, step):
    return outcome.broken_by[step.radius] == STANDS


def attack(task, spec, step, x, y, seed):
    """Attacks some points: `level`, the index of the least radius each breaks at, and `x_adv`.

    `broken_off` counts those where the attack met outputs that are not finite and found nothing.

    Args:
        task: `Task`; its own points are not looked at.
        spec: `AttackSpec`.
        step: Index of the radius.
        x: Points to attack.
        y: Their classes.
        seed: Integer that all randomness comes from.
    """
    started = time.perf_counter()
    # Of a memory map too, what is attacked is in memory.
    x = np.array(x)
    distance = spec.searches_distance(task.norm)
    eps = task.eps[-1 if distance else step] / task.range.width
    steps = range(step, len(task.eps)) if distance else [step]
    with seeded(seed), drawn_from(seed, task.model), warnings.catch_warnings():
        # ART's attacks warn of numerical matters that the judgement below does not rest on.
        warnings.simplefilter("ignore")
        moved = _moved(task, spec, eps, x, y)
        level, x_adv = judge(task, x, y, moved.points, steps)
    broken = level < len(task.eps)
    seconds = np.array(time.perf_counter() - started)
    lost = np.sum(moved.broken_off & ~broken)
    return {"level": level, "x_adv": x_adv[broken], "seconds": seconds, "broken_off": lost}


def _moved(task, spec, eps, x, y):
    """Builds an attack and has it move some points; what goes wrong there is told with its name."""
    try:
        built = spec.build(task.target, task.norm, eps, **spec.settings)
        if not callable(getattr(built, "generate", None)):
            returns = "a `build(target, norm, eps)` that returns an attack with `generate(x, y)`"
            raise checks.refused("attacks", returns, repr(built))
        moved = task.run(built, x, y)
        if moved.points.shape != x.shape:
            returns = f"a `generate(x, y)` that returns points shaped like `x`, {x.shape}"
            raise checks.refused("attacks", returns, f"shape {moved.points.shape}")
    except Exception as error:
        error.add_note(f"Raised by the attack '{spec.name}'.")
        raise
    return moved


def judge(task, x, y, moved, steps):
    """Clips what an attack found into each ball and asks the model itself.

    Args:
        task: `Task`.
        x: Clean points.
        y: Their classes.
        moved: What the attack made of them.
        steps: Increasing indices of the radii to clip to.

    Returns:
        `(level, x_adv)`: for each point the index of the least radius that it is broken at, or
        the number of radii, and the misclassified point.
    """
    level = np.full(len(x), len(task.eps))
    x_adv = x.copy()
    # An attack that diverged found nothing.
    moved = np.where(np.isfinite(moved), moved, x)
    for step, todo in survivors(steps, lambda _: level == len(task.eps)):
        inside = project(moved[todo], x[todo], task.eps[step], task.norm, task.range[:2])
        wrong = task.classes(inside) != y[todo]
        hit = todo[wrong]
        x_adv[hit] = inside[wrong]
        # The clipped point may lie in a smaller ball too.
        found = distances(x_adv[hit], x[hit], task.norm)
        level[hit] = np.searchsorted(task.eps, found, side="left")
    return level, x_adv


def _record(outcome, index, name, rows, found):
    outcome.seconds[name] += float(found["seconds"])
    if lost := int(found["broken_off"]):
        notices.warn(
            f"The attack '{name}' broke off at {lost} points, where it met outputs of the model "
            "or inputs that are not finite. It counts as having found nothing there.",
        )
    broken = found["level"] < len(outcome.broken_by)
    for row, level, x_adv in zip(rows[broken], found["level"][broken], found["x_adv"]):
        # What breaks in a ball breaks in every larger one.
        for step in range(level, len(outcome.broken_by)):
            if outcome.broken_by[step, row] == STANDS:
                outcome.broken_by[step, row] = index
                outcome.x_adv[step, row] = x_adv


def _seed(*names):
    return int.from_bytes(hashlib.sha256(repr(names).encode()).digest()[:4], "big")


@contextlib.contextmanager
def seeded(seed):
    """Seeds the generators that ART's attacks draw from, and puts them back afterwards."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    np.random.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)
