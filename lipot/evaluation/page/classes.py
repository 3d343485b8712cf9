"""The part of the page that breaks one model down by class."""

import numpy as np

from lipot.evaluation.page.prose import headline_eps, percent
from lipot.evaluation.page.section import Drawing, Section
from lipot.evaluation.page.svg import WIDE, drawing
from lipot.evaluation.record.palette import ACCENT, FAINT, INK
from lipot.evaluation.record.per_class import PerClass, per_class
from lipot.math.norms import radius_name

_MOST_CLASSES = 20


def section(evaluation, prefix):
    """Returns the `Section` of an `Evaluation`; `prefix` starts every id."""
    eps = headline_eps(evaluation)
    shown = per_class(evaluation, eps)
    text = f"Bars: what stands under every attack of {radius_name(eps)}. "
    if shown.certified is not None:
        text += "Narrow bars: what is proven to stand. "
    text += "Strokes: what is right without an attack."
    if len(shown.classes) > _MOST_CLASSES:
        shown = _weakest(shown)
        text += f" Only the {_MOST_CLASSES} classes that fare worst are shown."
    rows = [
        f"class {label}: {percent(clean)} clean, {percent(attacked)} under attack"
        for label, clean, attacked in zip(shown.classes, shown.clean, shown.attacked)
    ]
    svg = _bars(f"{prefix}-classes", shown)
    drawings = (Drawing(svg, f"{'; '.join(rows)}."),)
    return Section(text, drawings, name="classes", title="Class by class")


def _weakest(shown):
    rows = np.sort(np.argsort(shown.attacked, kind="stable")[:_MOST_CLASSES])
    return PerClass(
        classes=shown.classes[rows],
        points=shown.points[rows],
        clean=shown.clean[rows],
        attacked=shown.attacked[rows],
        certified=None if shown.certified is None else shown.certified[rows],
        eps=shown.eps,
    )


def _bars(name, shown):
    """Accuracy of each class: clean, under attack, proven."""

    def draw(axes):
        rows = np.arange(len(shown.classes))[::-1]
        axes.hlines(rows, 100 * shown.attacked, 100, color=FAINT, linewidth=0.6, alpha=0.5)
        axes.barh(rows, 100 * shown.attacked, 0.62, color=ACCENT, alpha=0.55, linewidth=0)
        if shown.certified is not None:
            axes.barh(rows, 100 * shown.certified, 0.26, color=ACCENT, linewidth=0)
        axes.plot(100 * shown.clean, rows, "|", color=INK, markersize=11, markeredgewidth=2)
        axes.set_yticks(rows, [f"{c} ({n})" for c, n in zip(shown.classes, shown.points)])
        axes.set(xlim=(0, 101), ylim=(-0.7, len(rows) - 0.3), xlabel="accuracy (%)")
        axes.set_ylabel("class (points)")

    return drawing(name, WIDE, max(1.8, 0.9 + 0.26 * len(shown.classes)), draw)
