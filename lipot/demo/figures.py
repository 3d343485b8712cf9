"""The figures of the demo; each function takes plain arrays and returns a Matplotlib figure."""

import numpy as np
from matplotlib.figure import Figure

from lipot.evaluation.record import curves
from lipot.evaluation.record.palette import FAINT, INK, SERIES

LIPSCHITZ, STOCK = SERIES[:2]
# More images side by side have labels too small for a phone.
_IN_A_LINE = 5


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
    blocks = -(-len(images) // _IN_A_LINE)
    figure = Figure(figsize=(6.4, 4.1 * blocks), layout="constrained")
    reach = float(np.max(np.abs(moved - images)))
    for block, part in enumerate(np.atleast_1d(figure.subfigures(blocks, 1))):
        shown = slice(_IN_A_LINE * block, _IN_A_LINE * (block + 1))
        grid = part.subplots(3, _IN_A_LINE, squeeze=False)
        _steps(grid, images[shown], moved[shown], reach)
        for row, names in ((0, before[shown]), (2, after[shown])):
            for axes, name in zip(grid[row], names):
                axes.set_title(f"seen as {name}", fontsize=11, color=INK)
    return figure


def _steps(grid, images, moved, reach):
    """Fills three rows: images, steps in colours up to `reach`, and where they lead."""
    rows = (
        ("image x", images, "gray_r", 0, 1),
        ("step\n(blue:\nmore ink)", moved - images, "RdBu", -reach, reach),
        ("x + step", moved, "gray_r", 0, 1),
    )
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for axes_row, (name, row, colors, low, high) in zip(grid, rows):
        axes_row[0].set_ylabel(name, fontsize=11, color=INK, rotation=0, ha="right", va="center")
        for axes, image in zip(axes_row, row):
            axes.imshow(image[..., 0], cmap=colors, vmin=low, vmax=high)


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
