"""Accuracy against the radius, empirical and certified."""

import itertools

import numpy as np

from lipot import extras

# Colours of Okabe and Ito, told apart by colour-blind readers too.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")


def plot(evaluations, ax=None):
    """Draws evaluations; see `RobustnessReport.plot`."""
    with extras.named():
        import matplotlib.pyplot as plt

    place = {}
    if ax is None:
        ax = plt.figure(figsize=(6.0, 4.2), layout="constrained").gca()
        # Below the axes no curve can run behind it.
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16), "ncols": 2}
    norms = {str(evaluation.norm) for evaluation in evaluations}
    for evaluation, color in zip(evaluations, itertools.cycle(_COLORS)):
        # Two dollars in a name would enclose a formula.
        name = evaluation.name.replace("$", r"\$")
        name = name if len(norms) == 1 else f"{name} (l{evaluation.norm})"
        _draw(ax, evaluation, name if len(evaluations) > 1 else "", color)
    norm = norms.pop() if len(norms) == 1 else ""
    ax.set(xlabel=f"l{norm} radius of the attack", ylabel="accuracy (%)", ylim=(-2, 102))
    ax.set_xlim(left=0.0)
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, **place)
    return ax


def _draw(ax, evaluation, name, color):
    eps = [0.0, *evaluation.eps]
    attacked = [evaluation.robust_accuracy(radius) for radius in evaluation.eps]
    empirical = 100.0 * np.array([evaluation.clean_accuracy, *attacked])
    prefix = f"{name}, " if name else ""
    # Measured at the marks alone; what fell within a radius falls within all beyond, so a step is
    # what is known between them, and stays above what is proven.
    style = {"color": color, "linewidth": 0.8, "clip_on": False, "drawstyle": "steps-post"}
    ax.plot(eps, empirical, "o-", label=f"{prefix}under attack", **style)
    if evaluation.certified_radius is None:
        return
    radii = np.linspace(0.0, eps[-1], 200)
    certified = [100.0 * evaluation.certified_accuracy(radius) for radius in radii]
    ax.plot(radii, certified, "--", color=color, label=f"{prefix}proven")
