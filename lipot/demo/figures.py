"""The figures of the demo; each function takes plain arrays and returns a Matplotlib figure."""

import numpy as np
from matplotlib.figure import Figure

from lipot.evaluation.record import curves
from lipot.evaluation.record.palette import FAINT, INK, SERIES

LIPSCHITZ, STOCK = SERIES[:2]


def accuracy_against_radius(report):
    """Draws how accuracy falls as the attacker may move further.

    Args:
        report: `lipot.RobustnessReport` of the two networks.

    Returns:
        A Matplotlib `Figure`.
    """
    figure, axes = _figure(6.4, 4.0)
    curves.draw(axes, report.evaluations, [found.name for found in report.evaluations])
    axes.set_ylabel("accuracy on test digits (%)")
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    return figure


def counterfactuals(images, moved, before, after):
    """Draws images above what they become on the other side of the decision.

    Args:
        images: Images in [0, 1], `(n, rows, columns, 1)`.
        moved: `images` after the step along the gradient, same shape.
        before: Predicted class names of `images`.
        after: Predicted class names of `moved`.

    Returns:
        A Matplotlib `Figure`.
    """
    count = len(images)
    figure = Figure(figsize=(1.15 * count + 1.2, 4.1), layout="constrained")
    grid = figure.subplots(3, count)
    reach = float(np.max(np.abs(moved - images)))
    rows = (
        (images, "gray_r", 0, 1),
        (moved - images, "RdBu", -reach, reach),
        (moved, "gray_r", 0, 1),
    )
    for axes_row, (row, colors, low, high) in zip(grid, rows):
        for axes, image in zip(axes_row, row):
            axes.imshow(image[..., 0], cmap=colors, vmin=low, vmax=high)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
    for axes, name in zip(grid[0], before):
        axes.set_title(f"seen as {name}", fontsize=9, color=INK)
    for axes, name in zip(grid[2], after):
        axes.set_title(f"seen as {name}", fontsize=9, color=INK)
    for axes, name in zip(grid[:, 0], ("image x", "step\n(blue: more ink)", "x + step")):
        axes.set_ylabel(name, fontsize=10, color=INK, rotation=0, ha="right", va="center")
    return figure


def level_map(points, labels, grid):
    """Draws a function of the plane over the two classes that it separates.

    Args:
        points: Points of both classes, `(n, 2)`.
        labels: 0 or 1 for each point.
        grid: `x`, `y` and `values` of the function on a grid; its sign is the decision.

    Returns:
        A Matplotlib `Figure`.
    """
    figure, axes = _figure(6.4, 3.9)
    reach = float(np.max(np.abs(grid.values)))
    edges = (grid.x[0], grid.x[-1], grid.y[0], grid.y[-1])
    shades = axes.imshow(
        grid.values, cmap="RdBu", vmin=-1.5 * reach, vmax=1.5 * reach, extent=edges, origin="lower"
    )
    lines = axes.contour(
        grid.x, grid.y, grid.values, levels=(-0.5, -0.25, 0.25, 0.5), colors=INK, linewidths=0.6
    )
    axes.clabel(lines, fontsize=8)
    axes.contour(grid.x, grid.y, grid.values, levels=(0,), colors=INK, linewidths=2)
    for label, color in ((0, STOCK), (1, LIPSCHITZ)):
        chosen = points[labels == label]
        axes.plot(*chosen.T, "o", color=color, markersize=2.5, markeredgewidth=0)
    bar = figure.colorbar(shades, ax=axes, label="f(x)", shrink=0.9)
    bar.ax.set_ylim(-reach, reach)
    axes.set_title("|f(x)| is at most the distance from x to the bold line", fontsize=10)
    return figure


def _figure(width, height):
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=FAINT, labelcolor=INK)
    return figure, axes
