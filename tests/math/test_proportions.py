"""Confidence intervals against SciPy's quantiles of the beta distribution, and by hand."""

import numpy as np
import pytest
from scipy import stats

from lipot.math.proportions import at_least, confidence_interval, in_percent, in_words


@pytest.mark.parametrize(
    "count, total", [(0, 1), (1, 1), (0, 20), (7, 20), (20, 20), (9987, 10000)]
)
@pytest.mark.parametrize("level", [0.95, 0.99])
def test_ends_are_quantiles_of_the_beta_distribution(count, total, level):
    found = confidence_interval(count, total, level)
    tail = (1.0 - level) / 2.0
    low = stats.beta.ppf(tail, count, total - count + 1) if count else 0.0
    high = stats.beta.isf(tail, count + 1, total - count) if count < total else 1.0
    np.testing.assert_allclose(found, [low, high], atol=1e-9)


def test_all_of_n_points_by_hand():
    # p**n = 0.025
    assert confidence_interval(100, 100).low == pytest.approx(0.025 ** (1 / 100), abs=1e-12)
    assert confidence_interval(0, 100).high == pytest.approx(1 - 0.025 ** (1 / 100), abs=1e-12)
    assert at_least(2, 3, 0.5) == pytest.approx(0.5)


def test_all_and_half_of_the_points_in_words():
    # 0.025 ** (1 / 50), and ends of one half that mirror each other.
    assert in_words(1.0, 50) == ("100.00 %", "[92.89, 100.00]")
    assert in_words(0.5, 2) == ("50.00 %", "[1.26, 98.74]")


@pytest.mark.parametrize("decimals", [0, 1, 2])
@pytest.mark.parametrize("total", [25_000, 10**9])
def test_nothing_and_everything_are_shown_where_they_are_meant(total, decimals):
    shown = [float(in_percent(count / total, decimals)) for count in (0, 1, total - 1, total)]
    assert shown[0] == 0.0 < shown[1] and shown[2] < 100.0 == shown[3]


def test_an_interval_of_all_but_one_point_ends_below_all():
    assert in_words(24_999 / 25_000, 25_000) == ("99.996 %", "[99.98, 99.9999]")


@pytest.mark.parametrize("share", [0.03, 0.5, 0.98])
def test_covers_as_often_as_it_says(share):
    total = 60
    counts = np.arange(total + 1)
    ends = [confidence_interval(int(count), total) for count in counts]
    covered = np.array([low <= share <= high for low, high in ends])
    assert stats.binom.pmf(counts, total, share)[covered].sum() >= 0.95
