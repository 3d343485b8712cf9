"""Intervals of shares against their definition and published numbers."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from lipot.math.statistics import share_interval


@pytest.mark.parametrize("count, total", [(0, 7), (1, 7), (4, 7), (7, 7), (6520, 10000)])
def test_each_end_leaves_half_of_the_error(count, total):
    low, high = share_interval(count, total, 0.9)
    if count:
        assert binom.sf(count - 1, total, low) == pytest.approx(0.05)
    if count < total:
        assert binom.cdf(count, total, high) == pytest.approx(0.05)
    exact = binomtest(count, total).proportion_ci(0.9, "exact")
    assert (low, high) == pytest.approx((exact.low, exact.high), abs=1e-8)


def test_it_holds_the_true_share_as_often_as_it_says():
    for share in (0.02, 0.3, 0.5, 0.97):
        counts = np.arange(41)
        held = [low <= share <= high for low, high in (share_interval(int(c), 40) for c in counts)]
        assert binom.pmf(counts, 40, share)[held].sum() >= 0.95


@pytest.mark.parametrize(
    "arguments, word",
    [((-1, 5), "`count`"), ((6, 5), "`count`"), ((0, 0), "`total`"), ((1, 5, 1.5), "`confidence`")],
)
def test_bad_arguments_are_named(arguments, word):
    with pytest.raises(ValueError, match=word):
        share_interval(*arguments)
