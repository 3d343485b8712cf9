"""The range of the data: found or asked for, and the way into [0, 1] where attacks work."""

from typing import NamedTuple

import numpy as np

# Data whose largest value lies in a part of the range only are too dark to be recognized.
_LEAST_SHARE = 0.5


class Range(NamedTuple):
    """What values an input may have.

    Attacks move in [0, 1], whatever the range: some of ART's have step lengths made for it, and
    its DeepFool multiplies its steps by the width of the range.

    Attributes:
        low: Least value.
        high: Greatest value.
        how: How it is known, for the report.
    """

    low: float
    high: float
    how: str

    @property
    def width(self):
        """Distance between the two ends."""
        return self.high - self.low

    @property
    def preprocessing(self):
        """The pair `(mean, std)` that takes an attack's [0, 1] back; `None` for no change."""
        if (self.low, self.high) == (0.0, 1.0):
            return None
        return -self.low / self.width, 1.0 / self.width

    def to_unit(self, x):
        """Maps data to [0, 1]."""
        if self.preprocessing is None:
            return x
        return np.clip((x - self.low) / self.width, 0.0, 1.0).astype("float32")

    def from_unit(self, x):
        """Maps [0, 1] to data."""
        if self.preprocessing is None:
            return x
        return (self.low + self.width * x.astype("float64")).astype("float32")


def find_range(x, clip_values=None):
    """Finds the range of some data, or raises an error that asks for it.

    Args:
        x: The data, finite.
        clip_values: Pair of the least and the greatest value, or `None` to recognize [0, 1] and
            [0, 255].

    Returns:
        A `Range`.

    Example:

    >>> find_range(np.array([0.0, 0.25, 1.0]))[:2], find_range(np.array([0, 31, 240]))[:2]
    ((0.0, 1.0), (0.0, 255.0))
    """
    low, high = float(np.min(x)), float(np.max(x))
    if clip_values is not None:
        return _given(x, clip_values)
    for top in (1.0, 255.0):
        if low >= 0.0 and _LEAST_SHARE * top <= high <= top:
            how = f"recognized: the points lie between {low:.4g} and {high:.4g}"
            return Range(0.0, top, how)
    raise ValueError(
        "Invalid value received for argument `clip_values`. Expected the pair of the least and "
        "the greatest value that an input may have, as the points look like neither [0, 1] nor "
        f"[0, 255]. Received: clip_values=None with points between {low:.4g} and {high:.4g}"
    )


def _given(x, clip_values):
    try:
        low, high = (float(value) for value in clip_values)
    except (TypeError, ValueError):
        low = high = np.nan
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(
            "Invalid value received for argument `clip_values`. Expected two finite numbers, the "
            f"lower one first. Received: clip_values={clip_values!r}"
        )
    # The ends as the data, in float32, can reach them.
    if np.min(x) < np.float32(low) or np.max(x) > np.float32(high):
        outside = (x < np.float32(low)) | (x > np.float32(high))
        raise ValueError(
            f"Invalid value received for argument `x`. Expected values between {low:g} and "
            f"{high:g}, as `clip_values` says. Received: {np.sum(outside)} values outside, "
            f"between {np.min(x):.4g} and {np.max(x):.4g}"
        )
    return Range(low, high, "given")
