"""Cross-sections of decisions that are known."""

import numpy as np
import pytest

from tests.evaluation.page.views.cases import RNG, linear, views_of


def test_a_cross_section_finds_the_distance_to_a_straight_decision():
    # The decision of class 0 against 1 is the plane 3 x + 4 y = 0, at |3 x + 4 y| / 5.
    weights = np.array([[3.0, -3.0], [4.0, -4.0], [0.0, 0.0]]) / 2
    x = np.array([[0.41, 0.0, 1.0], [0.0, -0.53, 2.0]], "float32")
    shown = views_of(linear(weights), x, np.array([0, 1]), x, eps=0.2, norm=2)
    shown = shown["cross_sections"]
    step = shown.offsets[1] - shown.offsets[0]
    exact = np.abs(3 * x[:, 0] + 4 * x[:, 1]) / 5
    assert np.all((shown.free >= exact - 1e-6) & (shown.free <= exact + step))
    center = len(shown.offsets) // 2
    for plane in shown.classes:
        # The second direction lies in the plane of the decision: every row is the same.
        assert np.all(plane == plane[0])
        assert len(set(plane[0, :center])) == 1 and len(set(plane[0])) == 2


@pytest.mark.parametrize("norm", [2, "inf"])
def test_a_cross_section_measures_offsets_in_the_norm_of_the_attack(norm):
    x = RNG.normal(size=(3, 4)).astype("float32")
    model = linear(RNG.normal(size=(4, 3)))
    shown = views_of(model, x, np.zeros(3, int), x, eps=0.3, norm=norm)["cross_sections"]
    radii = np.hypot(*np.meshgrid(shown.offsets, shown.offsets))
    assert np.all(shown.sizes <= radii + 1e-6)
    if norm == 2:
        np.testing.assert_allclose(
            shown.sizes, np.broadcast_to(radii, shown.sizes.shape), rtol=1e-5
        )
    else:
        # |v|_inf >= |v|_2 / sqrt(d)
        assert np.all(shown.sizes >= radii / 2 - 1e-6) and np.any(shown.sizes < 0.99 * radii)
    assert shown.sizes.max() >= 3.0 * 0.3 * 0.99


def test_probabilities_and_single_units_are_understood():
    x = RNG.normal(size=(6, 4)).astype("float32")
    weights = RNG.normal(size=(4, 3))
    plain = views_of(linear(weights), x, np.zeros(6, int), x, eps=0.3, norm=2)
    squashed = views_of(
        linear(weights, activation="softmax"), x, np.zeros(6, int), x, eps=0.3, norm=2
    )
    np.testing.assert_array_equal(
        plain["cross_sections"].classes, squashed["cross_sections"].classes
    )
    single = views_of(linear(weights[:, :1]), x, np.ones(6, int), x, eps=0.3, norm=2)
    assert set(single["cross_sections"].classes.ravel()) <= {0, 1}
