r"""Certified radii of a linear classifier on top of a Lipschitz map, rounding included.

Let `g` be the exact map to the features, `G`-Lipschitz. For inputs of norm `R` the machine
computes features within `E(R)` of it, and logits within `h_i(R)` of `w_i . features + b_i`. With
the features computed at `x`, for `|x' - x| <= r` and `w = w_i - w_j`,

    logit_i(x') - logit_j(x') >=  w . features(x) + b_i - b_j  -  |w| (E(|x|) + G r + E(|x| + r))
                                  - h_i(|x| + r) - h_j(|x| + r) .

All terms are affine in `r`: the radius is where the right-hand side vanishes, the least over `j`.
Inputs and features are measured in one norm, l2 or l-infinity, and `w` in its dual, l2 or l1.
"""

from typing import NamedTuple

import numpy as np

from lipot.math.norms import dual_of_ones
from lipot.math.rounding import FLUSHED_WEIGHT, accumulated, rounded_down

# The last product and the differences below are computed in float64 themselves.
_FLOAT64 = 2.0**-50
# A softmax or a sigmoid orders logits that differ by this many units of roundoff, and so does the
# logarithm of a softmax of n classes, which takes four for each unit of log(n).
_SQUASH = 64.0


class Radii(NamedTuple):
    """Certified radii `(n,)`, what rounding took from each `(n,)`, and logits `(n, q)`."""

    radius: np.ndarray
    rounding: np.ndarray
    logits: np.ndarray


# Features that overflowed and allowances too large to survive certify nothing, without a warning.
@np.errstate(over="ignore", invalid="ignore")
def radii(head, features, norms):
    """Certified radius of every sample.

    Args:
        head: A `Head`.
        features: Computed features, `(n, m)` in float64.
        norms: Norm of every input, `(n,)` in float64, in the norm of the head.

    Returns:
        `Radii`.
    """
    logits = features @ head.kernel + head.bias
    finite = np.all(np.isfinite(logits), axis=1)
    pairs = _binary if len(head.bias) == 1 else _pairwise
    margins, differences, rows, offsets = pairs(head, np.where(finite[:, None], logits, 0.0))
    exact = _least(margins, head.node.lipschitz * differences)
    rows = rows + 2.0 * FLUSHED_WEIGHT * dual_of_ones(len(head.kernel), head.node.norm)

    computed = head.node.computed
    # Every logit is a chain of `roundings` over partial sums of norm |w_i| |features| + |b_i|.
    chain = accumulated(head.roundings, head.roundoff)
    lost = (
        differences * 2.0 * computed.error(norms)[:, None]
        + chain * (rows * computed.size(norms)[:, None] + offsets)
        # What underflows in the chains of both logits.
        + 2.0 * head.roundings * head.smallest
        + _SQUASH * head.roundoff * head.squashed / head.scale
        + _FLOAT64 * len(head.kernel) * (rows * computed.size(norms)[:, None] + offsets)
    )
    slope = (
        differences * (head.node.lipschitz + computed.error.slope)
        + chain * rows * computed.size.slope
    )
    radius = np.minimum(_least(margins - lost, slope), _reach(head) - norms)
    radius = rounded_down(np.where(finite, radius, 0.0))
    return Radii(radius, np.where(finite, np.maximum(exact - radius, 0.0), 0.0), logits)


def _reach(head):
    """Norm of inputs up to which neither features nor logits overflow, of whatever class."""
    computed = head.node.computed
    if head.squashed and len(head.bias) > head.largest / 4.0:
        # The sum of a softmax over so many classes is no number of the type.
        return 0.0
    steepest = np.max(head.sizes) + FLUSHED_WEIGHT * dual_of_ones(len(head.kernel), head.node.norm)
    features = (head.largest - np.max(np.abs(head.bias))) / steepest
    room = max(0.0, features - computed.size.offset) / max(computed.size.slope, 1e-300)
    return min(computed.reach, room)


def _pairwise(head, logits):
    """Margins of the top class over each other one, and the norms that go with them."""
    top = logits.argmax(axis=1)
    samples, norms = np.arange(len(logits)), head.sizes
    margins = logits[samples, top][:, None] - logits
    margins[samples, top] = np.inf
    bias = np.abs(head.bias)
    return margins, head.differences(top), norms[top][:, None] + norms, bias[top][:, None] + bias


def _binary(head, logits):
    """The same for one unit, whose sign is the class."""
    sizes = np.broadcast_to(head.sizes, logits.shape)
    return np.abs(logits), sizes, sizes, np.broadcast_to(np.abs(head.bias), logits.shape)


def _least(numerator, denominator):
    # Zero over zero: a margin that nothing reduces is certified everywhere, no margin nowhere.
    with np.errstate(divide="ignore"):
        quotient = numerator / denominator
    quotient = np.where(denominator > 0.0, quotient, np.where(numerator > 0.0, np.inf, 0.0))
    return quotient.min(axis=1)
