"""The axes that curves are drawn on."""

from typing import Any

from lipot import checks, extras


def given_or_new(ax: Any, figsize: tuple[float, float]) -> Any:
    """Returns Matplotlib axes: the ones given, or for `None` those of a new figure.

    Args:
        ax: What was given for the argument `ax`.
        figsize: Width and height of a new figure, in inches.

    Example:

    >>> given_or_new(3, (5, 3))
    Traceback (most recent call last):
    ValueError: Invalid value received for argument `ax`. Expected Matplotlib axes or None. ...
    """
    with extras.named():
        import matplotlib.pyplot as plt
        from matplotlib.axes import Axes

    checks.instance("ax", ax, Axes | None, "Matplotlib axes or None")
    return plt.figure(figsize=figsize, layout="constrained").gca() if ax is None else ax
