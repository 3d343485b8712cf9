"""Are these scores probabilities?"""

import numpy as np


def may_be_probabilities(scores):
    """Tells whether every row could be a distribution, or the one output a probability.

    Args:
        scores: NumPy array `(n, units)` of what a classifier returned.

    Returns:
        bool

    Example:

    >>> may_be_probabilities(np.array([[0.25, 0.75], [1.0, 0.0]]))
    True
    >>> may_be_probabilities(np.array([[0.25, 0.25]])), may_be_probabilities(np.array([[0.5]]))
    (False, True)
    """
    inside = np.all((scores >= 0.0) & (scores <= 1.0))
    return bool(
        inside and (scores.shape[1] == 1 or np.allclose(scores.sum(axis=1), 1.0, atol=1e-3))
    )
