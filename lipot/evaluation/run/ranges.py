"""The range of the data: found or asked for, and the way into [0, 1] where attacks work."""

from typing import NamedTuple

import numpy as np

from lipot import checks, notices
from lipot.certificates.input_scale import are_images, pixels_untold

# Data whose largest value lies in a part of the range only are too dark to be recognized.
_LEAST_SHARE = 0.5
_TOPS = (1.0, 255.0)


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


class UnknownRange(ValueError):
    """The range of some data shows neither in them nor in the model, and must be said.

    Args:
        why: What it cannot be told from, a clause.
        x: The data.

    Attributes:
        why: The same clause.
    """

    def __init__(self, why, x):
        super().__init__(
            "Invalid value received for argument `clip_values`. Expected the least and the "
            f"greatest value that an input may have, such as clip_values=(0, 1): {why}. Received: "
            f"clip_values=None with points between {np.min(x):.4g} and {np.max(x):.4g}"
        )
        self.why = why


def find_range(x, clip_values=None, scale=None):
    """Finds the range of some data, or raises an error that asks for it.

    Only images have a range that shows: in [0, 1], or in [0, 255] where the model's own first
    layers bring that down. A network trained on [0, 1] and shown the same images up to 255 would
    answer nearly as before, and look robust against changes 255 times too small.

    Args:
        x: The data, finite.
        clip_values: Pair of the least and the greatest value, or `None` to recognize [0, 1] and
            [0, 255] of images.
        scale: `InputScale` of the model on these data, or `None` where it is not known.

    Returns:
        A `Range`.

    Example:

    >>> images = np.linspace(0.0, 1.0, 50).reshape(2, 5, 5, 1)
    >>> find_range(images)[:2], find_range([[2.0, 31.0]], (0, 50))[:2]
    ((0.0, 1.0), (0.0, 50.0))
    """
    x = np.asarray(x)
    if clip_values is not None:
        return _given(x, clip_values, scale)
    if not are_images(x.shape):
        raise UnknownRange(
            f"it is recognized of images alone, and an input of shape {x.shape[1:]} is none", x
        )
    low, high = float(np.min(x)), float(np.max(x))
    top = next((t for t in _TOPS if low >= 0.0 and _LEAST_SHARE * t <= high <= t), None)
    if top is None:
        raise UnknownRange("the images look like neither [0, 1] nor [0, 255]", x)
    if scale is not None and not scale.fits:
        raise UnknownRange(f"{_brings_to(scale)}: it was not trained on such images", x)
    if scale is None and top == _TOPS[-1]:
        raise UnknownRange(
            "nothing in the model tells whether it was trained on [0, 255]; where it "
            "was trained on [0, 1], divide the images by 255",
            x,
        )
    how = f"recognized: the images lie between {low:.4g} and {high:.4g}"
    return Range(0.0, top, how if scale is None else f"{how}, and {_brings_to(scale)}")


def _brings_to(scale):
    return (
        f"the model's own first layers bring them to between {scale.low:.3g} and {scale.high:.3g}"
    )


def _given(x, clip_values, scale):
    try:
        low, high = (float(value) for value in clip_values)
    except (TypeError, ValueError):
        low = high = np.nan
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise checks.invalid("clip_values", "two finite numbers, the lower one first", clip_values)
    # The ends as the data, in float32, can reach them.
    if np.min(x) < np.float32(low) or np.max(x) > np.float32(high):
        outside = (x < np.float32(low)) | (x > np.float32(high))
        raise checks.refused(
            "x",
            f"values between {low:g} and {high:g}, as `clip_values` says",
            f"{np.sum(outside)} values outside, between {np.min(x):.4g} and {np.max(x):.4g}",
        )
    if scale is None:
        if high == _TOPS[-1]:
            notices.warn(pixels_untold())
        return Range(low, high, "given")
    if not scale.fits:
        notices.warn(
            f"The points lie between {np.min(x):.4g} and {np.max(x):.4g}, and {_brings_to(scale)}: "
            "it was probably trained on points of another scale.",
        )
    return Range(low, high, f"given, and {_brings_to(scale)}")
