"""The supremum of gains over all frequencies, against dense grids and known maxima."""

import math

import numpy as np
import pytest

from lipot.math import frequency_search, gram_symbol
from lipot.math.frequency_grids import AxisGrid, any_size_axis
from lipot.math.frequency_search import TOLERANCE, first_cells, largest_over_all
from lipot.math.gram_spectrum import largest_gram_eigenvalue
from lipot.math.gram_symbol import gram_symbol as symbol_of


def random_kernel(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, size=shape)


def searched(kernel, strides=(1, 1), axes=None, twist=0.0, budget=10**9):
    axes = axes or tuple(map(any_size_axis, kernel.shape, strides))
    symbol = symbol_of(kernel, strides, (1, 1), 1000)
    return largest_over_all(symbol, axes, budget, twist)


def dense_maximum(kernel, strides, points=240):
    """On far more frequencies than any search looks at."""
    axes = tuple(AxisGrid(points * s if k > s else s, s, 1) for k, s in zip(kernel.shape, strides))
    return largest_gram_eigenvalue(kernel, axes)


CASES = [
    ((3, 3, 2, 3), (1, 1)),
    ((5, 3, 4, 4), (2, 1)),
    ((3, 1, 3, 3), (1, 1)),
    ((2, 4, 1, 2), (1, 2)),
]
CASES += [((1, 5, 2, 2), (1, 1)), ((4, 4, 2, 2), (2, 2)), ((7, 2, 1, 1), (1, 1))]


@pytest.mark.parametrize("shape, strides", CASES)
@pytest.mark.parametrize("prove_from", [1, 1000])
def test_the_bound_is_at_the_supremum(shape, strides, prove_from, monkeypatch):
    monkeypatch.setattr(gram_symbol, "PROVE_FROM", prove_from)
    for seed in range(3):
        kernel = random_kernel(*shape, seed=seed)
        expected = dense_maximum(kernel, strides)
        found = searched(kernel, strides)
        # The dense grid itself misses up to 1e-3.
        assert expected <= found <= expected * (1 + TOLERANCE) ** 2 * (1 + 1e-3)


def two_taps(phase):
    """Gain `|1 + e^{i (2 w + phase)}|`, whose maximum of 2 can be moved to any place."""
    turned = np.zeros((3, 1, 2, 2))
    turned[0, 0] = np.eye(2)
    turned[2, 0] = [[math.cos(phase), math.sin(phase)], [-math.sin(phase), math.cos(phase)]]
    return turned


@pytest.mark.parametrize("prove_from", [1, 1000])
def test_maxima_are_found_wherever_they_lie(prove_from, monkeypatch):
    """By the polynomials that the bounds are sharp for, on one axis and on both."""
    monkeypatch.setattr(gram_symbol, "PROVE_FROM", prove_from)
    for phase in np.linspace(0, np.pi, 40):
        line = two_taps(phase)
        for kernel in (line, line.transpose(1, 0, 2, 3)):
            found = math.sqrt(searched(kernel))
            assert 2.0 * (1 - 1e-12) <= found <= 2.0 * (1 + TOLERANCE) * (1 + 1e-12)
        other = two_taps(1.0 + 2.1 * phase)[:, 0]
        plane = np.einsum("icf,jde->ijcdfe", line[:, 0], other).reshape(3, 3, 4, 4)
        found = math.sqrt(searched(plane))
        assert 4.0 * (1 - 1e-12) <= found <= 4.0 * (1 + TOLERANCE) * (1 + 1e-12)


def covered(points, cells, degrees):
    """Whether each point, or its opposite, lies in one of the cells."""
    inside = np.zeros(len(points), bool)
    for point in (points, -points):
        ways = np.abs((point[:, None] - cells.centers + np.pi) % (2 * np.pi) - np.pi)
        inside |= np.any(ways @ degrees / 2 <= cells.sigma + 1e-12, axis=1)
    return inside


@pytest.mark.parametrize("taps", [(3, 3), (2, 5), (1, 4), (6, 1)])
@pytest.mark.parametrize("points", frequency_search._FIRST_POINTS)
def test_cells_cover_all_angles_and_so_do_their_halves(taps, points):
    rng = np.random.default_rng(0)
    axes = tuple(map(any_size_axis, taps))
    degrees = np.array([axis.degree for axis in axes])
    angles = rng.uniform(-np.pi, np.pi, (500, 2))
    edges = np.pi / 48 * rng.integers(-96, 97, (500, 2))
    cells = first_cells(axes, points)
    assert covered(np.concatenate([angles, edges]), cells, degrees).all()
    # A few cells, cut in two on each axis, cover what these few did.
    chosen = rng.random(len(cells.centers)) < 0.3
    few = cells._replace(centers=cells.centers[chosen])
    mine = angles[covered(angles, few, degrees)]
    assert len(mine) > 20
    halves = cells.halved(chosen)
    assert halves.sigma == cells.sigma / 2
    assert covered(mine, halves, degrees).all()


def test_an_axis_of_few_frequencies_is_looked_at_whole():
    kernel = random_kernel(3, 3, 2, 2)
    axes = (AxisGrid(5, 1, 1), any_size_axis(3))
    for twist in (0.0, 0.5):
        rows = 2 * np.pi * (np.arange(5) + twist) / 5
        columns = np.linspace(0, 2 * np.pi, 2001)
        waves = (
            np.exp(1j * rows[:, None] * np.arange(3)),
            np.exp(1j * columns[:, None] * np.arange(3)),
        )
        blocks = np.einsum("ai,bj,ijcf->abcf", *waves, kernel)
        expected = np.linalg.norm(blocks, 2, axis=(2, 3)).max() ** 2
        found = searched(kernel, axes=axes, twist=twist)
        assert expected <= found <= expected * (1 + TOLERANCE) ** 2 * (1 + 1e-4)


@pytest.mark.parametrize("most", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_estimates_are_no_part_of_the_proof(seed, most, monkeypatch):
    monkeypatch.setattr(gram_symbol, "PROVE_FROM", 1)
    values = frequency_search._values
    rng = np.random.default_rng(seed)

    def misled(symbol, cells):
        return values(symbol, cells) * rng.uniform(0.3, most, len(cells.centers))

    monkeypatch.setattr(frequency_search, "_values", misled)
    kernel = random_kernel(3, 3, 4, 5, seed=seed)
    assert searched(kernel) >= dense_maximum(kernel, (1, 1)) * (1 - 1e-12)


def test_a_flat_gain_falls_back_to_samples():
    kernel = np.zeros((3, 3, 4, 4))
    kernel[1, 2] = np.linalg.qr(random_kernel(4, 4))[0]
    axes = tuple(map(any_size_axis, (3, 3)))
    assert searched(kernel, budget=2000) is None
    found = math.sqrt(largest_gram_eigenvalue(kernel, axes))
    assert found == pytest.approx(axes[0].factor ** 2, rel=1e-9)


def test_a_search_looks_at_fewer_matrices_than_a_grid(monkeypatch):
    seen, values = [], frequency_search._values

    def counted(symbol, cells):
        seen.append(len(cells.centers))
        return values(symbol, cells)

    monkeypatch.setattr(frequency_search, "_values", counted)
    axes = tuple(map(any_size_axis, (3, 3)))
    searched(random_kernel(3, 3, 64, 64))
    assert 0 < sum(seen) < axes[0].points * (axes[1].points // 2 + 1)
