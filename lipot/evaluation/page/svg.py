"""Matplotlib figures as SVG that takes its colours from the page it stands in."""

import io
import re

from matplotlib import rc_context
from matplotlib.figure import Figure

# Colours of series as they are on a light page; style.css holds their names and those of the dark.
SERIES = (
    *("#0072b2", "#d55e00", "#007a59", "#b0508f", "#6a51c7"),
    *("#8c6d00", "#555555", "#a3352c", "#2b7a8c", "#4c7a1d"),
)
INK, FAINT = "#1b1f24", "#8b9098"
MARKERS = "osD^vPX*<>"

_NAMES = {
    **{color: f"var(--series-{index})" for index, color in enumerate(SERIES)},
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
        draw(figure.subplots())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _inlined(buffer.getvalue(), name)


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
