"""Is the evaluation itself to be believed? The checks of Carlini et al. for masked gradients.

Masked gradients lead attacks astray: the model looks robust to them and is not. Each check
compares attacks that ought to come out in a known order.
"""

import itertools
from typing import Any, NamedTuple

import numpy as np
from art.attacks.evasion import ProjectedGradientDescent

from lipot.attacks.auto_attack import STANDS
from lipot.attacks.survivors import survivors
from lipot.batches import spread
from lipot.evaluation.attacks.pgd import LOSSES
from lipot.evaluation.attacks.suite import ATTACKS
from lipot.evaluation.record.result import Verdict
from lipot.evaluation.run.engine import judge, seeded
from lipot.evaluation.run.randomness import depends_on_batch, drawn_from
from lipot.evaluation.run.task import recipe, remake
from lipot.evaluation.sanity import surrogate
from lipot.evaluation.sanity.gradients import vanishes
from lipot.math.norms import order, radius_name
from lipot.math.proportions import in_percent
from lipot.models import Purified

_POINTS = 100
# Attacks on fewer differ by no more than chance, whatever the model.
_FEWEST = 5
_STEPS = 40
# Times the draws that attacks followed, for the check that these were enough.
_MORE_DRAWS = 4
# The gradients of an imitation that agrees with the model on fewer say nothing about it.
_FEWEST_AGREE = 0.5
# Attacks are compared by counts of points; chance moves a few.
_SLACK = 0.02
# Two attacks that differ in their starts alone each break some points that the other leaves.
_SWAPPED = 0.05


class Probe(NamedTuple):
    """Points that the checks attack: some of those that are classified rightly.

    Attributes:
        task: The `Task`.
        rows: Their indices.
        outcome: What the attacks of the suite left.
        specs: These attacks.
        seed: Integer.
        known: What PGD was found to break, by radius and steps: several checks ask for it.
    """

    task: Any
    rows: np.ndarray
    outcome: Any
    specs: tuple
    seed: int
    known: dict

    @property
    def slack(self):
        """Number of points by which two attacks may differ by chance."""
        return max(1, round(_SLACK * len(self.rows)))

    def broken(self, build, eps, rows=None):
        """Tells which points an attack breaks: `build(target, unit eps)`, an ART attack."""
        task, rows = self.task, self.rows if rows is None else rows
        x, y = task.x[rows], task.y[rows]
        with seeded(self.seed), drawn_from(self.seed, task.model):
            moved = task.run(build(task.target, eps / task.range.width), x, y)
            level, _ = judge(task._replace(eps=(eps,)), x, y, moved.points, [0])
        return level == 0

    def broken_by_pgd(self, eps, steps=_STEPS):
        """Tells which points projected gradient breaks, on the cross-entropy or the margin."""

        def build(target, radius):
            return ATTACKS["pgd"].build(target, self.task.norm, radius, steps=steps)

        if (eps, steps) not in self.known:
            self.known[eps, steps] = self.broken(build, eps)
        return self.known[eps, steps]


def run(task, outcome, specs, *, seed, store, progress):
    """Runs every check.

    Args:
        task: `Task`.
        outcome: `Outcome` of the suite.
        specs: The attacks of the suite.
        seed: Integer.
        store: `checkpoints.Folder` or `checkpoints.Memory`.
        progress: What is told of each check.

    Returns:
        Tuple of `Verdict`s.
    """
    rows = np.flatnonzero(task.predictions == task.y)
    rows = rows[spread(len(rows), _POINTS)]
    probe = Probe(task, rows, outcome, specs, seed, {})
    checks, verdicts = _checks_of(task.model), []
    for left, (name, check) in zip(range(len(checks), 0, -1), checks.items()):
        progress.plan(f"check {name}", [1.0] * left)
        stored = store.load_json(f"sanity-{name.replace(' ', '-')}.json")
        verdict = Verdict(**stored) if stored else _verdict(name, check, probe)
        store.save_json(f"sanity-{name.replace(' ', '-')}.json", verdict._asdict())
        verdicts.append(verdict)
        progress.advance(1.0)
    return tuple(verdicts)


def _verdict(name, check, probe):
    if len(probe.rows) == 0:
        return Verdict(name, None, "Not run: the model is wrong on every point.")
    if len(probe.rows) < _FEWEST:
        few = f"the model is right on {len(probe.rows)} of the points, and it takes {_FEWEST}"
        return Verdict(name, None, f"Not run: {few} to compare attacks.")
    return Verdict(name, *check(probe))


def _same_answer_twice(probe):
    task = probe.task
    if not task.random:
        return _same_answer_alone(task)
    seen = "The model answers differently when asked again: it is random"
    if task.eot_samples == 1:
        return (
            False,
            f"{seen}. One gradient says little about it; attack its average over many draws "
            "instead: eot_samples=16 or more.",
        )
    eps = task.middle_eps
    more = _MORE_DRAWS * task.eot_samples
    finer = probe._replace(task=task._replace(target=task.target.with_eot_samples(more)), known={})
    counts = int(probe.broken_by_pgd(eps).sum()), int(finer.broken_by_pgd(eps).sum())
    seen = (
        f"{seen}. PGD along the mean of {task.eot_samples} draws breaks {counts[0]} of "
        f"{len(probe.rows)} points at {radius_name(eps)}, of {more} draws {counts[1]}"
    )
    if counts[1] <= counts[0] + probe.slack:
        return True, f"{seen}: more draws do no better."
    return False, f"{seen}: attacks need more draws; raise eot_samples."


def _same_answer_alone(task):
    if not depends_on_batch(task.model, task.x, task.batch_size):
        return True, "The model gives the same answer when asked again, of a point alone too."
    return (
        False,
        "The model answers otherwise about a point alone than about it among others: what counts "
        "as robust depends on the points that happen to share a batch, as where a layer takes "
        "statistics of the batch in inference. Have it use statistics of the training.",
    )


def _gradients_there(probe):
    share = float(np.mean(vanishes(probe.task, probe.rows, "crossentropy")))
    if share <= _SLACK:
        return True, f"The gradient of the loss vanishes at {in_percent(share, 0)} % of the points."
    return (
        False,
        f"The gradient of the loss is exactly zero at {in_percent(share, 0)} % of the points: "
        "attacks that climb it stand still there. Saturated outputs or an operation without a "
        "derivative mask it.",
    )


def _more_steps(probe):
    eps = probe.task.middle_eps
    few, many = _STEPS // 4, _STEPS * 3
    counts = [int(probe.broken_by_pgd(eps, steps).sum()) for steps in (few, many)]
    seen = (
        f"PGD of {few} steps breaks {counts[0]} of {len(probe.rows)} points at {radius_name(eps)}, "
        f"of {many} steps {counts[1]}"
    )
    if counts[1] >= counts[0] - probe.slack:
        return True, f"More steps do not help the model: {seen}."
    return False, f"More steps help the model, which they cannot in truth: {seen}."


def _larger_radius(probe):
    sizes = [probe.task.eps[0], probe.task.eps[-1], 2.0 * probe.task.eps[-1]]
    sizes = list(dict.fromkeys(sizes))
    counts = [int(probe.broken_by_pgd(eps).sum()) for eps in sizes]
    listed = ", ".join(f"{count} at {radius_name(eps)}" for eps, count in zip(sizes, counts))
    seen = f"PGD breaks of {len(probe.rows)} points {listed}"
    if all(b >= a - probe.slack for a, b in zip(counts, counts[1:])):
        return True, f"A larger radius does not help the model: {seen}."
    return False, f"A larger radius helps the model, which it cannot in truth: {seen}."


def _unbounded(probe):
    task = probe.task
    # Every point of the range lies within this radius of every other.
    diameter = 1.0 if task.norm == "inf" else float(np.sqrt(np.prod(task.x.shape[1:])))
    standing = np.ones(len(probe.rows), bool)
    steps = (diameter / _STEPS, diameter / (10 * _STEPS))
    ascents = itertools.product(LOSSES, steps)
    for (loss, step), rows in survivors(ascents, lambda _: standing):
        standing[rows] = ~_ascend(probe, loss, diameter, step, probe.rows[rows])
    left = int(standing.sum())
    if left <= 0.01 * len(probe.rows):
        broken = len(probe.rows) - left
        return True, (
            f"Without a bound on the change, PGD breaks {broken} of {len(probe.rows)} points."
        )
    return (
        False,
        f"Without a bound on the change, PGD still leaves {left} of {len(probe.rows)} points, "
        "though any input could be turned into any other: its gradients lead nowhere.",
    )


def _ascend(probe, loss, diameter, step, rows):
    def build(target, radius):
        # From the point itself: a random start alone would break most, gradients or not.
        return ProjectedGradientDescent(
            target.with_loss(loss),
            norm=order(probe.task.norm),
            eps=radius,
            eps_step=step,
            max_iter=3 * _STEPS,
            batch_size=len(rows),
            verbose=False,
        )

    return probe.broken(build, diameter * probe.task.range.width, rows)


def _black_box(probe):
    task, eps = probe.task, probe.task.eps[-1]
    spec = ATTACKS["square"]
    blind = probe.broken(
        lambda target, radius: spec.build(target, task.norm, radius, **spec.settings), eps
    )
    counts = int(probe.broken_by_pgd(eps).sum()), int(blind.sum())
    late = _broken_blindly(probe)
    seen = (
        f"of {len(probe.rows)} points PGD breaks {counts[0]} at {radius_name(eps)}, {spec.name} "
        f"{counts[1]}; in the suite, attacks without gradients broke {late} that PGD leaves"
    )
    if counts[1] <= counts[0] + probe.slack and late <= probe.slack:
        return True, f"Attacks without gradients do no better than those with them: {seen}."
    return False, f"Attacks without gradients do better, so the gradients mislead: {seen}."


def _broken_blindly(probe):
    """Number of points that withstand PGD at some radius, and fell to the suite's blind attacks.

    That these fell to a blind attack first is no sign: it may have been the first to run, or have
    come after a single gradient step.
    """
    blind = [index for index, spec in enumerate(probe.specs) if not spec.needs_gradient]
    counts = [0]
    for eps, broken_by in zip(probe.task.eps, probe.outcome.broken_by):
        fell = np.isin(broken_by[probe.rows], blind)
        if fell.any():
            counts.append(int(np.sum(fell & ~probe.broken_by_pgd(eps))))
    return max(counts)


def _left_standing(probe):
    """Points that PGD of the checks breaks, and no attack of the suite.

    Where as many are the other way round, that is luck of the starts, as long as they are few.
    """
    few = round(_SWAPPED * len(probe.rows))
    found = []
    for eps, broken_by in zip(probe.task.eps, probe.outcome.broken_by):
        stands = broken_by[probe.rows] == STANDS
        broken = probe.broken_by_pgd(eps) if stands.any() else ~stands
        by_pgd, by_suite = int(np.sum(stands & broken)), int(np.sum(~stands & ~broken))
        found.append((by_pgd - min(by_suite, few), by_pgd, by_suite, eps))
    missed, by_pgd, by_suite, eps = max(found)
    seen = (
        f"of {len(probe.rows)} points that the checks attack, plain PGD breaks {by_pgd} at "
        f"{radius_name(eps)} that the attacks of the suite leave, and leaves {by_suite} that "
        "they break"
    )
    if missed <= probe.slack:
        return True, f"The suite is no weaker than PGD: {seen}."
    return False, f"The suite is weaker than PGD: {seen}. Run the standard suite."


def _transfer(probe):
    task, eps = probe.task, probe.task.eps[-1]
    twin = surrogate.train(task, seed=probe.seed)
    agreement = surrogate.agreement(twin, task, probe.rows)

    def build(target, radius):
        return ATTACKS["pgd"].build(twin, task.norm, radius, steps=_STEPS)

    counts = int(probe.broken_by_pgd(eps).sum()), int(probe.broken(build, eps).sum())
    seen = (
        f"of {len(probe.rows)} points PGD breaks {counts[0]} at {radius_name(eps)} through the "
        f"model's own gradients, {counts[1]} through those of a stock network that agrees "
        f"with it on {in_percent(agreement, 0)} % of the points"
    )
    if counts[1] > counts[0] + probe.slack:
        return False, f"Another network's gradients do better, so its own mislead: {seen}."
    if agreement < _FEWEST_AGREE:
        return None, f"Not told: the imitation is too poor. Seen: {seen}."
    return True, f"Another network's gradients do no better than its own: {seen}."


def _other_derivative(probe):
    task, eps = probe.task, probe.task.middle_eps
    # The other way round, through the purifier, can take more memory than there is.
    twin = remake(task.model.with_backward("identity"), **recipe(task))
    other = probe._replace(task=task._replace(target=twin.target), known={})
    counts = int(probe.broken_by_pgd(eps).sum()), int(other.broken_by_pgd(eps).sum())
    seen = (
        f"of {len(probe.rows)} points PGD breaks {counts[0]} at {radius_name(eps)} through the "
        f"purifier, {counts[1]} with the identity in its place"
    )
    if counts[1] <= counts[0] + probe.slack:
        return True, f"The purifier's gradient leads attacks as far as the identity does: {seen}."
    return (
        False,
        f"The purifier's gradient misleads attacks: {seen}. Evaluate the model with "
        'backward="identity".',
    )


def _checks_of(model):
    if isinstance(model, Purified) and model.backward == "exact":
        return {**_CHECKS, "purifier": _other_derivative}
    return _CHECKS


_CHECKS = {
    "same answer twice": _same_answer_twice,
    "gradients": _gradients_there,
    "more steps": _more_steps,
    "larger radius": _larger_radius,
    "unbounded attack": _unbounded,
    "black box": _black_box,
    "suite": _left_standing,
    "transfer": _transfer,
}
