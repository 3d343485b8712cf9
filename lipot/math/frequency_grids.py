r"""How many frequencies of a convolution must be looked at, and what lies between them.

Let `K` have `k` taps on an axis, stride `s` and dilation `d`. At the frequency `w` the squared
gain for a vector `v` of the output side is, as a mean over the aliases `w_l = w + 2 pi l / s`,

$$ p(w) = \frac{1}{s} \sum_{l < s} |\hat K(w_l) v|^2 , \qquad
   |\hat K(w) v|^2 = \sum_{|m| < k} c_m e^{i d m w} . $$

The mean over `l` of `e^{i d m w_l}` is `e^{i d m w}` where `s` divides `d m` and 0 elsewhere. With
`g = gcd(s, d)` those are the multiples `m = r s / g`, so in `phi = d s w / g` the gain is a
trigonometric polynomial of degree

$$ n = \lfloor (k - 1) g / s \rfloor , $$

the one that stride `s / g` without dilation has in its own `phi`: over all real frequencies the
two have the same norm. Where the shorter side of the blocks is the input side, their other Gram
matrix has the same largest eigenvalue; the polynomials are always taken on the output side.

**What lies between samples.** Let `p` be such a polynomial, `B` its maximum, attained at `x`, and
`q = 2 p / B - 1`, so that `|q| <= 1 = q(x)`. By M. Riesz's lemma `q(x + t) >= cos(n t)` for
`0 <= t <= pi / n`, and so on the other side: were it less at some `t`, the polynomial
`r(y) = cos(n (y - x)) - q(y)` of degree `n` would have two zeros at `x`, one in
`(x + t, x + pi / n]` and, by the cosine's alternating signs, one in each of the next `2 n - 2`
intervals between its extrema (where `r` vanishes at an extremum, twice): more than its `2 n`.
`M > n` equidistant points, wherever they start, have one within `pi / M` of `x`:

$$ \max p \le \cos^{-2}\Big(\frac{\pi n}{2 M}\Big) \max_{\text{samples}} p . $$

This is the bound `1 / cos(pi n / M)` of Ehlich and Zeller for the polynomial `p - B / 2`: that `p`
is nonnegative halves what they add. It is attained by `cos^2(n y / 2)` sampled as far as can be
from its maximum. The factor of the norm is the root, on each axis in turn: on a fixed row of
samples, then across rows. As it holds for every `v`, it holds for the largest eigenvalue. In
float64 these samples are a first look alone: `frequency_search` comes far closer to the maximum.

**Padding.** Convolutions with zero padding of every size are compressions of that on the infinite
plane, circular ones have some of its frequencies, twisted or not, and other paddings are a valid
convolution after a padding operator (see `circular_embedding`). All are at most the maximum over
real frequencies, the last times the padding's gain; so is a maximum with real frequencies on one
axis and those of a circle on the other.

Reference:
    Ehlich and Zeller, "Schwankung von Polynomen zwischen Gitterpunkten", Mathematische
    Zeitschrift 86, 1964; Pfister and Bresler, "Bounding multivariate trigonometric polynomials",
    IEEE Transactions on Signal Processing 67(3), 2019.
"""

import math
from typing import NamedTuple

import numpy as np

from lipot import checks

# The most that sampling may add to the norm on two axes together.
TOLERANCE = 0.005


class AxisGrid(NamedTuple):
    """Frequencies of one axis, and what the norm may exceed its maximum on them by.

    Attributes:
        size: Points of the input's circle, a multiple of the stride.
        stride: The stride to use on it.
        dilation: The dilation to use on it.
        factor: 1.0 for an exact circle, else the factor of `sampling_factor`.
        degree: `None` for an exact circle. Else the points are samples of all real frequencies,
            and this is the degree of the polynomials between them.
    """

    size: int
    stride: int
    dilation: int
    factor: float = 1.0
    degree: int | None = None

    @property
    def points(self):
        """Number of output frequencies."""
        return self.size // self.stride


def sampling_factor(degree, points):
    r"""Bound of $\max \sqrt p$ over its largest sample, for a nonnegative polynomial of an angle.

    Args:
        degree: Degree of the trigonometric polynomial.
        points: Number of equidistant samples, more than the degree.

    Returns:
        `1 / cos(pi degree / (2 points))`, rounded up.

    Example:

    >>> round(sampling_factor(2, 32), 5)
    1.00484
    """
    if points <= degree:
        raise checks.invalid("points", f"more than the degree {degree}", points)
    if degree == 0:
        return 1.0
    return (1.0 + 1e-14) / math.cos(math.pi * degree / (2 * points))


def any_size_axis(taps, stride=1, dilation=1, tolerance=TOLERANCE):
    """Fewest frequencies that bound the norm for every size of one axis.

    Args:
        taps: Length of the kernel on the axis.
        stride: Stride on the axis.
        dilation: Dilation on the axis.
        tolerance: What two such axes may add to the norm, as a share of it.

    Returns:
        An `AxisGrid`, without dilation.

    Example:

    >>> any_size_axis(3).size, any_size_axis(2, stride=2).size
    (45, 2)
    """
    stride //= math.gcd(stride, dilation)
    degree = (taps - 1) // stride
    points = 1
    if degree:
        allowed = math.acos((1.0 + tolerance) ** -0.5)
        points = max(degree + 1, math.ceil(math.pi * degree / (2 * allowed)))
    return AxisGrid(points * stride, stride, 1, sampling_factor(degree, points), degree)


def known_size_axis(size, taps, stride=1, dilation=1, tolerance=TOLERANCE):
    """The frequencies of a circle, or fewer that bound the norm for every size.

    The latter where the norm for every size is at most the tolerance above that of the circle.

    Args:
        size: Points of the circle, a multiple of the stride.
        taps: As for `any_size_axis`, like the other arguments.

    Returns:
        An `AxisGrid`.

    Example:

    >>> known_size_axis(33, 3).size, known_size_axis(225, 3).size
    (33, 45)
    """
    sampled = any_size_axis(taps, stride, dilation, tolerance)
    points = size // stride
    # With dilation, frequencies of the circle can coincide in `phi`.
    points //= math.gcd(points, dilation)
    return sampled if points >= sampled.points else AxisGrid(size, stride, dilation)


def grid_angles(places, axes, twist):
    """Angles `<phi, a>` for half of the frequencies of a grid, `(frequencies, taps)`.

    A real kernel has conjugate blocks at `phi` and `-phi`: half of one axis is enough.

    Args:
        places: Where the taps lie, `(taps, 2)` integers.
        axes: Two `AxisGrid`s.
        twist: Phase of the circles, 0 or 0.5.
    """
    found = []
    for axis, grid in enumerate(axes):
        # Patches that do not overlap have the same block at all frequencies.
        count = grid.points if len(places) > 1 else 1
        frequencies = np.arange(count if axis == 0 else count // 2 + 1)
        # Reduced to one turn as integers, in units of half a step: exact for any size.
        half_steps = (2 * frequencies + round(2 * twist))[:, None] * places[:, axis]
        found.append(half_steps % (2 * count) * (np.pi / count))
    return (found[0][:, None] + found[1][None]).reshape(-1, len(places))
