"""Accuracy against the radius, empirical and certified: the one plot of it."""

import numpy as np

from lipot import axes
from lipot.evaluation.record.palette import MARKERS, SERIES
from lipot.math.norms import norm_name


def plot(evaluations, ax=None):
    """Draws evaluations with a legend; see `RobustnessReport.plot`."""
    # Below the axes no curve can run behind it.
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16), "ncols": 2}
    place = below if ax is None else {}
    ax = axes.given_or_new(ax, (6.0, 4.2))
    norms = {evaluation.norm for evaluation in evaluations}
    names = [_label(evaluation, len(evaluations), len(norms)) for evaluation in evaluations]
    draw(ax, evaluations, names)
    ax.legend(frameon=False, **place)
    return ax


def draw(ax, evaluations, names=None, places=None):
    """Draws evaluations: under attack as marks and steps, proven as a dashed line over a shade.

    Args:
        ax: Matplotlib axes.
        evaluations: `Evaluation`s.
        names: What a legend calls each; none by default.
        places: Number of the colour and the mark of each; in their order by default.
    """
    names = names or [None] * len(evaluations)
    places = range(len(evaluations)) if places is None else places
    for index, evaluation, name in zip(places, evaluations, names):
        color, marker = SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)]
        _draw(ax, evaluation, name, color, marker)
    norms = {norm_name(evaluation.norm) for evaluation in evaluations}
    ax.set(xlim=(0.0, max(e.eps[-1] for e in evaluations)), ylim=(0, 101), ylabel="accuracy (%)")
    ax.set_xlabel(f"{norms.pop() if len(norms) == 1 else ''} radius of the attack".lstrip())
    ax.grid(True, alpha=0.35)


def _draw(ax, evaluation, name, color, marker):
    eps = np.array([0.0, *evaluation.eps])
    held = [evaluation.clean_accuracy, *map(evaluation.robust_accuracy, evaluation.eps)]
    prefix = name and f"{name}, "
    # Measured at the marks alone; what fell within a radius falls within all beyond, so a step is
    # what is known between them, and stays above what is proven.
    style = {"color": color, "clip_on": False, "zorder": 3, "drawstyle": "steps-post"}
    label = None if name is None else f"{prefix}under attack"
    ax.plot(eps, 100 * np.array(held), marker=marker, markersize=5, label=label, **style)
    if evaluation.certified_radius is None:
        return
    radii = np.linspace(0.0, eps[-1], 201)
    proven = [100 * evaluation.certified_accuracy(radius) for radius in radii]
    label = None if name is None else f"{prefix}proven"
    ax.fill_between(radii, proven, color=color, alpha=0.12, linewidth=0)
    ax.plot(radii, proven, "--", color=color, linewidth=1.2, label=label)


def _label(evaluation, models, norms):
    if models == 1:
        return ""
    # Two dollars in a name would enclose a formula.
    name = evaluation.name.replace("$", r"\$")
    return name if norms == 1 else f"{name} ({norm_name(evaluation.norm)})"
