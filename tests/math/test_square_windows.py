import numpy as np
import pytest

from lipot.math.square_windows import bump, odd_window_sides, tiling, two_bumps, window_sides


def test_windows_cover_their_share_of_the_image():
    # sqrt(0.8 * 28 * 28) = 25.04; sqrt(0.05 * 32 * 32) = 7.16
    assert window_sides(0.8, 28, 28) == (25, 25)
    assert window_sides(0.05, 32, 32) == (7, 7)
    assert window_sides(1e-6, 32, 32) == (1, 1)
    assert window_sides(0.8, 4, 100) == (4, 4)
    assert window_sides(0.25, 40, 1) == (10, 1)


@pytest.mark.parametrize("size", [(28, 28), (8, 8), (5, 9), (40, 1), (2, 2), (1, 7)])
@pytest.mark.parametrize("share", [0.8, 0.1, 1e-3])
def test_odd_windows_are_odd_and_fit(size, share):
    rows, columns = odd_window_sides(share, *size)
    assert rows % 2 == 1 and rows <= size[0] and 1 <= columns <= size[1]
    assert columns == rows or size[1] == 1
    assert rows >= min(3, 2 * ((max(min(size), size[0] if size[1] == 1 else 0) + 1) // 2) - 1)


def test_bump_by_hand():
    # 1 + 1/4 + 1/9, 1/4 + 1/9 and 1/9 at distances 0, 1 and 2 of the centre.
    window = bump(5, 4)
    np.testing.assert_allclose(window[2] / window[2, 2], [4 / 49, 13 / 49, 1, 13 / 49])
    np.testing.assert_allclose(window[:, 2] / window[2, 2], [4 / 49, 13 / 49, 1, 13 / 49, 4 / 49])
    assert np.linalg.norm(window) == pytest.approx(1.0)


@pytest.mark.parametrize("size", [(3, 3), (7, 7), (4, 1), (1, 1)])
def test_two_bumps_have_opposite_signs_and_norm_one(size):
    window = two_bumps(*size)
    upper = size[0] // 2
    assert window.shape == size and np.linalg.norm(window) == pytest.approx(1.0)
    assert np.all(window[:upper] > 0) and np.all(window[upper:] < 0)


@pytest.mark.parametrize("length", [1, 4, 8, 28, 32, 224])
def test_tiles_fit(length):
    start, tile, number = tiling(length)
    assert start >= 0 and start + tile * number <= length and number >= min(length, 5)
