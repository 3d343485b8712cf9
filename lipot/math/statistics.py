"""What a share that was counted on some points says about all points."""

from typing import NamedTuple

from scipy.stats import beta

from lipot import checks


class Interval(NamedTuple):
    """Ends of an interval of shares, `low <= high`."""

    low: float
    high: float


def share_interval(count, total, confidence=0.95):
    r"""Clopper-Pearson interval of a share of which `count` in `total` independent points tell.

    Whatever the true share is, the interval holds it with a probability of at least `confidence`:
    below `low` as many as `count` would be seen with less than half of what is left to 1, above
    `high` as few.

    Args:
        count: Points that count, from 0 to `total`.
        total: Positive int, points looked at.
        confidence: Between 0 and 1.

    Returns:
        `Interval`.

    Raises:
        ValueError: A count outside its range.

    Reference:
        Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of
        the binomial" (Biometrika, 1934).

    Example:

    >>> interval = share_interval(0, 10)
    >>> interval.low, round(interval.high, 4)    # 1 - 0.025 ** (1 / 10)
    (0.0, 0.3085)
    """
    total = checks.positive_int("total", total)
    count = checks.integer("count", count, f"an integer from 0 to {total}", least=0, most=total)
    tail = (1.0 - checks.probability("confidence", confidence)) / 2.0
    low = beta.ppf(tail, count, total - count + 1) if count else 0.0
    high = beta.isf(tail, count + 1, total - count) if count < total else 1.0
    return Interval(float(low), float(high))
