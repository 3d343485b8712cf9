"""The ball that an attack searches, whatever its radius."""

from typing import NamedTuple

import numpy as np
from keras import ops

from lipot import checks, notices
from lipot.math.gradients import finite_gradient

# Of the range of the data: a smaller radius says nothing of a model that it is measured at.
LEAST_MEASURED = 1e-3


class Ball(NamedTuple):
    """Geometry of an attack: a norm and the range of the data.

    The radius is an argument, a number or a tensor, so that one compiled program serves all.

    Attributes:
        norm: `"inf"` or 2.
        clip_min: Smallest value of the data, or `None`.
        clip_max: Largest value of the data, or `None`.
    """

    norm: str | int
    clip_min: float | None
    clip_max: float | None

    def project(self, points, x, eps):
        """Returns the nearest points of the balls around `x`, clipped to the data range."""
        if self.norm == "inf":
            points = ops.clip(points, x - eps, x + eps)
        else:
            shift = points - x
            # min(1, eps / |shift|) written without dividing by a shift of zero
            points = x + shift * (eps / ops.maximum(example_norm(shift), eps))
        return self.clip(points)

    def steepest(self, gradient):
        """Returns the unit step that increases a function fastest in the norm."""
        if self.norm == "inf":
            # An infinite slope has a sign, and one that is NaN leads nowhere.
            return ops.sign(ops.where(ops.isnan(gradient), 0.0, gradient))
        gradient = finite_gradient(gradient)
        # The square of a small number may be zero, and that of a large one infinite.
        axes = tuple(range(1, len(gradient.shape)))
        largest = ops.max(ops.abs(gradient), axis=axes, keepdims=True, initial=0.0)
        scaled = gradient / ops.where(largest > 0.0, largest, 1.0)
        # A row whose largest entry is 1 is no shorter than that; other rows are zero.
        return scaled / ops.maximum(example_norm(scaled), 1.0)

    def outside(self, x):
        """The least and the greatest of inputs that leave the data range, NaN included, or `None`.

        Args:
            x: Inputs, an array or a tensor with values.
        """
        # A model may be called on a batch without examples.
        if 0 in x.shape:
            return None
        low, high = float(ops.min(x)), float(ops.max(x))
        above = self.clip_min is None or low >= self.clip_min - _slack(self.clip_min)
        below = self.clip_max is None or high <= self.clip_max + _slack(self.clip_max)
        numbers = not (np.isnan(low) or np.isnan(high))
        return None if above and below and numbers else (low, high)

    def check_range(self, x):
        """Checks that inputs lie in the data range, to which attacked ones are clipped.

        Raises:
            ValueError: If some do not, clipping would move them out of the ball, or are NaN.
        """
        found = self.outside(x)
        if found is None:
            return
        low, high = found
        if np.isnan(low) or np.isnan(high):
            raise checks.refused("x", "numbers", "NaN values")
        raise checks.refused(
            "x",
            f"inputs between clip_min={self.clip_min} and clip_max={self.clip_max}, to which an "
            "attack clips",
            f"inputs from {low:g} to {high:g}. Scale the data, or give the attack the range they "
            "have, and an `eps` in its unit",
        )

    def clip(self, points):
        """Clips points to the data range."""
        if self.clip_min is not None:
            points = ops.maximum(points, self.clip_min)
        if self.clip_max is not None:
            points = ops.minimum(points, self.clip_max)
        return points


def check_ball(norm, clip_min, clip_max):
    """Checks what a user asks of a `Ball`, and returns it.

    Raises:
        ValueError: If the norm is neither l2 nor l-infinity, or the range is empty or none.
    """
    norm = checks.norm("norm", norm)
    clip_min, clip_max = _end("clip_min", clip_min), _end("clip_max", clip_max)
    if clip_min is not None and clip_max is not None and clip_min >= clip_max:
        raise checks.refused(
            "clip_min", "less than `clip_max`", f"clip_min={clip_min}, clip_max={clip_max}"
        )
    return Ball(norm, clip_min, clip_max)


def warn_about_units(eps, norm, low, high, least_share=0.0):
    """Warns of an l-infinity radius that seems to be in other units than the data.

    Most often 8 was given for 8/255, or 8/255 for pixels from 0 to 255. Of an l2 radius nothing
    is said: how far apart two inputs can be in l2 grows with their size.

    Args:
        eps: Positive float, the radius.
        norm: `"inf"` or 2.
        low: Smallest value of the data, or `None`.
        high: Largest value of the data, or `None`.
        least_share: Share of `high - low` below which a radius is questioned too.
    """
    if norm != "inf" or low is None or high is None:
        return
    width = high - low
    if eps > width:
        found = "more than all of that"
    elif eps < least_share * width:
        found = f"less than {least_share:g} of that"
    else:
        return
    notices.warn(
        f"A radius is in the units of the data, which lie between {low:g} and {high:g}: "
        f"eps={eps:g} is {found}; 8/255 of it would be {8 / 255 * width:g}.",
    )


def _end(name, value):
    """An end of the range as a float, or `None`."""
    if value is None:
        return None
    if np.ndim(value) > 0:
        raise checks.refused(
            name,
            "a finite number or None: one range for all channels. Where each channel is scaled in "
            "its own way, make a `keras.layers.Normalization` layer the first of the model, and "
            "attack that",
            f"{np.size(value)} values",
        )
    return checks.finite_float(name, value, "a finite number or None")


def _slack(end):
    """What resizing or float16 may add to an end of a range: it makes no other range."""
    return 1e-3 * max(1.0, abs(end))


def example_norm(x):
    """Computes the l2 norm of each example, shaped to broadcast against the batch."""
    axes = tuple(range(1, len(x.shape)))
    return ops.sqrt(ops.sum(ops.square(x), axis=axes, keepdims=True))
