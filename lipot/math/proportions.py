"""How sure a share of counted points is: the exact interval of Clopper and Pearson."""

from typing import NamedTuple

import numpy as np

# Halvings of [0, 1]: as far as float64 tells shares apart.
_HALVINGS = 52


class Interval(NamedTuple):
    """Ends of a confidence interval of a share, between 0 and 1."""

    low: float
    high: float


class InWords(NamedTuple):
    """A share in percent, and the ends of its confidence interval in brackets."""

    percent: str
    interval: str


def confidence_interval(count: int, total: int, level: float = 0.95) -> Interval:
    r"""Clopper and Pearson's interval of a share that was counted on some points.

    With $k$ of $n$ points counted, the ends are the shares $p$ at which as many, or as few, are
    just too improbable:

    $$ P[B(n, p_{\text{low}}) \ge k] = P[B(n, p_{\text{high}}) \le k]
       = \tfrac{1}{2}(1 - \text{level}) $$

    It covers the true share of the distribution that the points were drawn from at least as often
    as it says, for any number of points.

    Args:
        count: How many points were counted.
        total: Out of how many.
        level: Probability that the interval covers the true share.

    Returns:
        `Interval`.

    Reference:
        Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of
        the binomial", 1934.

    Example:

    >>> [round(end, 3) for end in confidence_interval(95, 100)]
    [0.887, 0.984]
    """
    tail = (1.0 - level) / 2.0
    return Interval(_low(count, total, tail), 1.0 - _low(total - count, total, tail))


def share_interval(share: float, total: int) -> Interval:
    """`confidence_interval` of a share of so many points.

    Args:
        share: From 0 to 1, a number of points over `total`.
        total: Positive int, how many points there are.

    Returns:
        `Interval`.

    Example:

    >>> share_interval(0.5, 10) == confidence_interval(5, 10)
    True
    """
    return confidence_interval(round(share * total), total)


def in_percent(share: float, decimals: int = 2) -> str:
    """A share in percent, which is 0 or 100 only where the share is none or all.

    Args:
        share: From 0 to 1.
        decimals: How many to show; where they would round to 0 or 100, as many as it takes.

    Example:

    >>> in_percent(0.125), in_percent(1.0), in_percent(0.99996), in_percent(4e-5, 0)
    ('12.50', '100.00', '99.996', '0.004')
    """
    percent = 100.0 * share
    text = f"{percent:.{decimals}f}"
    while 0.0 < percent < 100.0 and float(text) in (0.0, 100.0):
        decimals += 1
        text = f"{percent:.{decimals}f}"
    return text


def in_words(share: float, total: int, decimals: int = 2) -> InWords:
    """A share of so many points with its `share_interval`, as a reader is told it.

    Example:

    >>> " ".join(in_words(0.95, 100))
    '95.00 % [88.72, 98.36]'
    """
    low, high = (in_percent(end, decimals) for end in share_interval(share, total))
    return InWords(f"{in_percent(share, decimals)} %", f"[{low}, {high}]")


def at_least(count: int, total: int, share: float) -> float:
    """Probability that at least `count` of `total` independent points are counted.

    Args:
        count: Integer from 0 to `total`.
        total: Number of points.
        share: Probability of each, between 0 and 1, these not included.

    Returns:
        Float.

    Example:

    >>> at_least(1, 2, 0.5)
    0.75
    """
    numbers = np.arange(count, total + 1)
    logs = np.r_[0.0, np.cumsum(np.log(np.arange(1, total + 1)))]
    ways = logs[total] - logs[numbers] - logs[total - numbers]
    powers = numbers * np.log(share) + (total - numbers) * np.log1p(-share)
    return float(np.exp(ways + powers).sum())


def _low(count: int, total: int, tail: float) -> float:
    """The share at which so many points are just too improbable, from below."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS if count else 0):
        middle = (low + high) / 2.0
        low, high = (middle, high) if at_least(count, total, middle) < tail else (low, middle)
    return low
