"""Matplotlib figures as SVG that takes its colours from the page it stands in."""

import io
import re

from matplotlib import rc_context
from matplotlib.figure import Figure

from lipot.evaluation.record.palette import ACCENT, FAINT, INK, SERIES

# Inches: a figure as wide as the text, and a panel beside others.
WIDE, PANEL = 5.2, 2.5
MOST_ROWS = 40
_LONGEST_NAME = 24

_NAMES = {
    **{color: f"var(--series-{index})" for index, color in enumerate(SERIES)},
    ACCENT: "var(--model)",
    INK: "currentColor",
    FAINT: "var(--faint)",
}
_SETTINGS = {
    "svg.fonttype": "path",
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": FAINT,
    "grid.alpha": 0.35,
    "grid.linewidth": 0.6,
}


def drawing(name, width, height, draw):
    """Draws on fresh axes and returns the figure as an `<svg>` element.

    Its attribute `data-axes` holds left, top, right and bottom of the axes as shares of its size.

    Args:
        name: Prefix of the ids inside, different for every figure of a page.
        width: Width in inches.
        height: Height in inches.
        draw: Function of the axes.

    Returns:
        String.

    Example:

    >>> drawing("line", 2, 1, lambda axes: axes.plot([0, 1]))[:4]
    '<svg'
    """
    # Ids that depend on the salt alone make the same page from the same report.
    with rc_context({**_SETTINGS, "svg.hashsalt": name}):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots()
        draw(axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
        left, bottom, right, top = axes.get_position().extents
    ends = " ".join(f"{end:.4f}" for end in (left, 1 - top, right, 1 - bottom))
    return _inlined(buffer.getvalue(), name).replace("<svg", f'<svg data-axes="{ends}"', 1)


def pale(number):
    """The colour of a class as a background: its series colour, mixed with white."""
    color = SERIES[number % len(SERIES)]
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [0.55 + 0.45 * part for part in parts]


def short(name):
    """A name that fits beside an axis."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _inlined(text, name):
    text = text[text.index("<svg") :]
    # A style sheet in here would reach the whole page; the metadata tells nothing.
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = text.replace("<svg", '<svg aria-hidden="true"', 1)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    return re.sub("#[0-9a-f]{6}", lambda found: _NAMES.get(found[0], found[0]), text)
