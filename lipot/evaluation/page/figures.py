"""The figures of the page, each a function from records to an `<svg>` element."""

import numpy as np

from lipot.evaluation.page.svg import FAINT, INK, MARKERS, SERIES, drawing
from lipot.evaluation.record.result import norm_name

_WIDE, _PANEL = 5.2, 2.5
_LONGEST_NAME = 24
MOST_ROWS = 40


def curves(name, evaluations):
    """Accuracy against the radius: under attack as marks, proven as a dashed line."""

    def draw(axes):
        for index, evaluation in enumerate(evaluations):
            color, marker = SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)]
            eps = np.array([0.0, *evaluation.eps])
            held = [evaluation.clean_accuracy, *map(evaluation.robust_accuracy, evaluation.eps)]
            # What fell within a radius falls within all beyond: a step never claims too little.
            style = {"color": color, "clip_on": False, "zorder": 3, "drawstyle": "steps-post"}
            axes.plot(eps, 100 * np.array(held), marker=marker, markersize=5, **style)
            if evaluation.certified_radius is not None:
                radii = np.linspace(0.0, eps[-1], 201)
                proven = [100 * evaluation.certified_accuracy(radius) for radius in radii]
                axes.fill_between(radii, proven, color=color, alpha=0.12, linewidth=0)
                axes.plot(radii, proven, "--", color=color, linewidth=1.2)
        widest = max(evaluation.eps[-1] for evaluation in evaluations)
        axes.set(xlim=(0, widest), ylim=(0, 101), ylabel="accuracy (%)")
        axes.set_xlabel(f"{norm_name(evaluations[0].norm)} radius of the attack")
        axes.grid(True)

    return drawing(name, _WIDE, 3.1, draw)


def classes(name, shown):
    """Accuracy of each class: clean, under attack, proven."""

    def draw(axes):
        rows = np.arange(len(shown.classes))[::-1]
        axes.hlines(rows, 100 * shown.attacked, 100, color=FAINT, linewidth=0.6, alpha=0.5)
        axes.barh(rows, 100 * shown.attacked, 0.62, color=SERIES[0], alpha=0.55, linewidth=0)
        if shown.certified is not None:
            axes.barh(rows, 100 * shown.certified, 0.26, color=SERIES[0], linewidth=0)
        axes.plot(100 * shown.clean, rows, "|", color=INK, markersize=11, markeredgewidth=2)
        axes.set_yticks(rows, [f"{c} ({n})" for c, n in zip(shown.classes, shown.points)])
        axes.set(xlim=(0, 101), ylim=(-0.7, len(rows) - 0.3), xlabel="accuracy (%)")
        axes.set_ylabel("class (points)")

    return drawing(name, _WIDE, max(1.8, 0.9 + 0.26 * len(shown.classes)), draw)


def cross_section(name, shown, index):
    """One plane through a point: regions of classes, the ball of the attack, the point."""
    reach = shown.offsets[-1]
    plane = shown.classes[index]

    def draw(axes):
        axes.imshow(
            np.array([pale(number) for number in plane.ravel()]).reshape(*plane.shape, 3),
            extent=(-reach, reach, -reach, reach),
            origin="lower",
            interpolation="nearest",
        )
        # Dark ink on pale regions, whatever the page around them.
        axes.contour(
            shown.offsets, shown.offsets, shown.sizes[index], [shown.eps], colors="#111111"
        )
        if np.isfinite(shown.free[index]):
            turn = np.linspace(0, 2 * np.pi, 181)
            circle = shown.free[index] * np.array([np.cos(turn), np.sin(turn)])
            axes.plot(*circle, ":", color="#111111", linewidth=1.3)
        axes.plot(0, 0, "x", color="#111111", markersize=6, markeredgewidth=1.8)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=(-reach, 0, reach), yticks=())
        axes.set_xticklabels([f"{-reach:.2g}", "0", f"{reach:.2g}"])
        labels = axes.get_xticklabels()
        labels[0].set_horizontalalignment("left")
        labels[-1].set_horizontalalignment("right")

    return drawing(name, _PANEL, 2.75, draw)


def singular_values(name, shown):
    """A row of singular values for each layer."""
    pairs = list(zip(shown.layers, shown.values))[:MOST_ROWS]

    def draw(axes):
        rows = np.arange(len(pairs))[::-1]
        for row, (_, values) in zip(rows, pairs):
            axes.plot(values, np.full(len(values), row), "|", color=SERIES[0], alpha=0.6)
        axes.axvline(1.0, color=INK, linewidth=0.8, linestyle=":")
        largest = max(float(values.max(initial=1.0)) for _, values in pairs)
        axes.set(xlim=(0, 1.05 * largest), ylim=(-0.7, len(rows) - 0.3))
        axes.set_yticks(rows, [_short(layer) for layer, _ in pairs])
        axes.set_xlabel("singular values")
        axes.grid(True, axis="x")

    return drawing(name, _WIDE, 0.9 + 0.28 * len(pairs), draw)


def channels(name, shown):
    """Mean magnitude of each channel, clean against attacked."""

    def draw(axes):
        numbers = np.arange(1, len(shown.clean) + 1)
        axes.fill_between(numbers, shown.clean, color=SERIES[0], alpha=0.25, linewidth=0)
        axes.plot(numbers, shown.clean, color=SERIES[0], linewidth=1.4)
        axes.plot(numbers, shown.adversarial, color=SERIES[1], linewidth=1.2)
        axes.set(xlim=(1, max(2, len(numbers))), xlabel="channel, strongest first")
        axes.set_ylim(bottom=0)
        axes.set_ylabel("mean magnitude")
        axes.grid(True, axis="y")

    return drawing(name, _WIDE, 2.5, draw)


def layer_changes(name, shown):
    """How much the attack changes the output of each layer."""
    names, values = shown.layers[-MOST_ROWS:], shown.change[-MOST_ROWS:]

    def draw(axes):
        rows = np.arange(len(names))[::-1]
        axes.barh(rows, 100 * values, 0.6, color=SERIES[1], linewidth=0)
        axes.set_yticks(rows, [_short(layer) for layer in names])
        axes.set(ylim=(-0.7, len(rows) - 0.3), xlabel="change under attack (% of the output)")
        axes.grid(True, axis="x")
        axes.set_axisbelow(True)

    return drawing(name, _WIDE, 0.9 + 0.28 * len(names), draw)


def embedding(name, points, labels, right, limits):
    """Points in a plane, coloured by class, with crosses where the network is wrong."""

    def draw(axes):
        for number in np.unique(labels):
            color = SERIES[number % len(SERIES)]
            for chosen, marker, size in ((right, "o", 2.6), (~right, "x", 4.5)):
                rows = (labels == number) & chosen
                axes.plot(*points[rows].T, marker, color=color, markersize=size, alpha=0.85)
        axes.set(xticks=(), yticks=(), xlim=limits[0], ylim=limits[1])
        axes.spines[:].set_visible(True)

    return drawing(name, 3.2, 3.0, draw)


def pale(number):
    """The colour of a class as a background: its series colour, mixed with white."""
    color = SERIES[number % len(SERIES)]
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [0.55 + 0.45 * part for part in parts]


def _short(name):
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
