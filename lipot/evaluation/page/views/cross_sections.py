"""Cross-sections of the decision regions around some points."""

import dataclasses

import numpy as np

from lipot.evaluation.page.section import Drawing, Section
from lipot.evaluation.page.svg import PANEL, drawing, pale
from lipot.evaluation.page.views.spec import ViewSpec
from lipot.evaluation.page.views.subject import lengths, margins_and_gradients, telling_rows
from lipot.evaluation.record.view import DoesNotApply, View
from lipot.math.norms import order, radius_name

_SHOWN = 4
_GRID = 61
_BATCH = 4096
# The picture reaches from this many radii of the attack to this many.
_NEAR, _FAR = 3.0, 12.0


@dataclasses.dataclass(frozen=True, eq=False)
class CrossSections(View):
    """Predicted classes on planes through points: against the gradient, and across it.

    Attributes:
        offsets: l2 distances from the point along each axis, `(g,)`.
        classes: Predicted classes `(n, g, g)`; the column goes along the direction that lowers
            the margin of the predicted class fastest, the row along a random one across it.
        sizes: Size of each offset in the norm of the attack, `(n, g, g)`.
        free: l2 distance on the plane to the nearest other class, `(n,)`; infinite where there
            is none.
        labels: Class numbers of the points, `(n,)`.
        eps: Radius of the attack.

    Reference:
        OTJR, figure 9, after Hoffman et al., "Robust learning with Jacobian regularization", 2019.
    """

    offsets: np.ndarray
    classes: np.ndarray
    sizes: np.ndarray
    free: np.ndarray
    labels: np.ndarray
    eps: float


def compute(subject):
    """Makes the `CrossSections` of a `Subject`."""
    if subject.x[0].size < 2:
        raise DoesNotApply("There are no cross-sections: an input here is a single number.")
    chosen = subject.take(telling_rows(subject, _SHOWN))
    steepest, across = _directions(chosen)
    offsets = np.linspace(-1.0, 1.0, _GRID) * _reach(chosen, steepest)
    down, side = np.meshgrid(offsets, offsets)
    steps = np.stack([down.ravel(), side.ravel()], axis=1)
    classes, sizes = [], []
    for row, axes in enumerate(zip(steepest, across)):
        shift = steps @ np.stack([axis.ravel() for axis in axes])
        classes.append(_classes(chosen, row, shift).reshape(_GRID, _GRID))
        sizes.append(np.linalg.norm(shift, ord=order(subject.norm), axis=1).reshape(_GRID, _GRID))
    classes = np.stack(classes)
    centers = classes[:, _GRID // 2, _GRID // 2]
    outside = classes != centers[:, None, None]
    return CrossSections(
        offsets=offsets,
        classes=classes.astype("int32"),
        sizes=np.stack(sizes).astype("float32"),
        free=np.where(outside, np.hypot(down, side), np.inf).min(axis=(1, 2)),
        labels=np.asarray(chosen.y, "int32"),
        eps=float(subject.eps),
    )


def _directions(subject):
    """Unit vectors that lower the margin fastest, and random ones at right angles to them."""
    runner_up, top = np.argsort(subject.logits, axis=1)[:, -2:].T
    _, gradient = margins_and_gradients(subject.target, subject.x, top, runner_up)
    rng = np.random.default_rng(subject.seed)
    # A dead gradient says nothing: any direction is as good.
    flat = lengths(gradient) < 1e-12
    steepest = _unit(np.where(flat, rng.normal(size=gradient.shape), -gradient))
    drawn = rng.normal(size=gradient.shape)
    axes = tuple(range(1, drawn.ndim))
    along = np.sum(drawn * steepest, axis=axes, keepdims=True)
    return steepest, _unit(drawn - along * steepest)


def _reach(subject, steepest):
    """How far the picture goes: past the decision in most panels, but not further than needed."""
    lengths_in_norm = [np.linalg.norm(axis.ravel(), ord=order(subject.norm)) for axis in steepest]
    unit = np.median(subject.eps / np.array(lengths_in_norm))
    distances = np.linspace(0.0, _FAR, 61)[1:] * unit
    met = []
    for row, axis in enumerate(steepest):
        line = _classes(subject, row, distances[:, None] * axis.reshape(1, -1))
        crossed = line != subject.logits[row].argmax()
        met.append(distances[crossed.argmax()] if crossed.any() else distances[-1])
    return float(np.clip(1.5 * np.median(met), _NEAR * unit, _FAR * unit))


def _classes(subject, row, shifts):
    x = subject.x[row]
    moved = (x.reshape(1, -1) + shifts).astype("float32").reshape(-1, *x.shape)
    parts = [
        subject.target.predict(moved[start : start + _BATCH]).argmax(axis=1)
        for start in range(0, len(moved), _BATCH)
    ]
    return np.concatenate(parts)


def _unit(vectors):
    return vectors / np.maximum(lengths(vectors), 1e-12)


def section(view, prefix):
    """Returns the `Section` that shows it; `prefix` starts every id."""
    drawings = []
    for index, label in enumerate(view.labels):
        free = view.free[index]
        distance = f"another at {free:.2g}" if np.isfinite(free) else "no other in sight"
        alt = (
            f"Decision regions around a point of class {label}: {distance} on this plane, attack "
            f"radius {radius_name(view.eps)}."
        )
        svg = _draw_cross_section(f"{prefix}-{index}", view, index)
        drawings.append(Drawing(svg, alt, f"class {label}, {distance}"))
    text = (
        "The class the network sees on planes through test points (the cross). To the right goes "
        "the direction in which its class loses ground fastest, upwards a random one at right "
        f"angles. Full line: what an attack of {radius_name(view.eps)} can reach. Dotted circle: "
        "how far the region of the class reaches on this plane in l2. Points may leave the range "
        "of the data."
    )
    numbers = np.unique(view.classes)
    key = tuple((_css(pale(number)), f"class {number}") for number in numbers)
    return Section(text, tuple(drawings), key, panels=True)


def _draw_cross_section(name, shown, index):
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

    return drawing(name, PANEL, 2.75, draw)


def _css(color):
    return f"rgb({', '.join(str(round(255 * part)) for part in color)})"


SPEC = ViewSpec("cross_sections", "Decision regions around some points", compute, section)
