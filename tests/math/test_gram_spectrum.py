"""Largest eigenvalues of Fourier blocks: factorizations against eigenvalues, and their rounding."""

import math

import numpy as np
import pytest

from lipot.math import gram_spectrum, gram_symbol
from lipot.math.frequency_grids import AxisGrid
from lipot.math.gram_spectrum import largest_gram_eigenvalue


def random_kernel(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, size=shape)


def on_circle(kernel, grid, strides=(1, 1), dilation=(1, 1), twists=(0.0,)):
    return largest_gram_eigenvalue(kernel, tuple(map(AxisGrid, grid, strides, dilation)), twists)


def squared_norm(kernel, grid, strides, dilation, twist):
    """Out of the blocks of all frequencies, by definition."""
    largest = 0.0
    for q in np.ndindex(*(n // s for n, s in zip(grid, strides))):
        blocks = []
        for alias in np.ndindex(*strides):
            waves = [
                np.exp(2j * np.pi * d * ((a + twist) / n + b / s) * np.arange(k))
                for a, b, n, s, d, k in zip(q, alias, grid, strides, dilation, kernel.shape)
            ]
            blocks.append(np.einsum("i,j,ijcf->cf", *waves, kernel))
        block = np.concatenate(blocks) / math.sqrt(math.prod(strides))
        largest = max(largest, np.linalg.norm(block, 2) ** 2)
    return largest


GEOMETRIES = [((5, 6), (1, 1), (1, 1)), ((6, 4), (2, 1), (1, 1)), ((6, 6), (3, 2), (1, 3))]
GEOMETRIES += [((4, 4), (2, 2), (2, 1)), ((2, 3), (1, 1), (2, 2))]


@pytest.mark.parametrize("grid, strides, dilation", GEOMETRIES)
@pytest.mark.parametrize("twist", [0.0, 0.5])
@pytest.mark.parametrize("prove_from", [1, 1000])
def test_the_eigenvalue_is_that_of_the_blocks(
    grid, strides, dilation, twist, prove_from, monkeypatch
):
    monkeypatch.setattr(gram_symbol, "PROVE_FROM", prove_from)
    for shape in [(3, 3, 2, 3), (2, 4, 3, 2), (3, 1, 1, 5), (1, 1, 4, 4)]:
        kernel = random_kernel(*shape)
        expected = squared_norm(kernel, grid, strides, dilation, twist)
        found = on_circle(kernel, grid, strides, dilation, (twist,))
        assert expected * (1 - 1e-12) <= found <= expected * (1 + 1e-9)


@pytest.mark.parametrize(
    "shape, size", [((3, 3, 64, 64), 6), ((3, 3, 48, 80), 16), ((7, 7, 50, 50), 7)]
)
def test_factorizations_of_large_matrices_prove_their_largest(shape, size):
    kernel = random_kernel(*shape)
    expected = squared_norm(kernel, (size, size), (1, 1), (1, 1), 0.5)
    found = on_circle(kernel, (size, size), twists=(0.5,))
    assert expected * (1 - 1e-12) <= found <= expected * (1 + 1e-9)


@pytest.mark.parametrize("misled", [1.0, -1.0])
def test_the_order_of_the_estimates_is_no_part_of_the_proof(misled, monkeypatch):
    """Whatever is thought to be large, all matrices are looked at."""
    estimates = gram_spectrum.estimated_eigenvalues
    monkeypatch.setattr(gram_symbol, "PROVE_FROM", 1)
    monkeypatch.setattr(gram_spectrum, "estimated_eigenvalues", lambda g: misled * estimates(g))
    kernel = random_kernel(3, 3, 5, 6)
    expected = min(squared_norm(kernel, (9, 8), (1, 1), (1, 1), twist) for twist in (0.0, 0.5))
    found = on_circle(kernel, (9, 8), twists=(0.0, 0.5))
    assert expected * (1 - 1e-12) <= found <= expected * (1 + 1e-9)


def dirichlet_kernel():
    """All ones: the norm is attained at one frequency alone, and falls off as fast as can be."""
    return np.ones((5, 5, 3, 2)) / 7


@pytest.mark.parametrize("prove_from", [1, 1000])
def test_extreme_kernels(prove_from, monkeypatch):
    monkeypatch.setattr(gram_symbol, "PROVE_FROM", prove_from)
    delta = np.zeros((3, 3, 6, 6))
    delta[1, 1] = np.eye(6)
    shifted = np.zeros((3, 3, 6, 6))
    shifted[0, 2] = np.linalg.qr(random_kernel(6, 6))[0]
    rank_one = np.einsum("i,j,c,f->ijcf", *(random_kernel(n, seed=n) for n in (3, 3, 6, 7)))
    one_tap = np.zeros((3, 3, 6, 6))
    one_tap[2, 0, 4, 1] = 1.0
    for kernel in (delta, shifted, rank_one, one_tap, dirichlet_kernel()):
        for twist in (0.0, 0.5):
            expected = squared_norm(kernel, (7, 6), (1, 1), (1, 1), twist)
            found = on_circle(kernel, (7, 6), twists=(twist,))
            assert expected * (1 - 1e-12) <= found <= expected * (1 + 1e-9)
    assert on_circle(np.zeros((3, 3, 6, 6)), (4, 4)) == 0.0


@pytest.mark.parametrize("prove_from", [1, 1000])
@pytest.mark.parametrize("seed", range(4))
def test_the_least_of_two_twists_is_taken(prove_from, seed, monkeypatch):
    monkeypatch.setattr(gram_symbol, "PROVE_FROM", prove_from)
    arguments = (random_kernel(3, 3, 4, 4, seed=seed), (6, 6))
    single = [on_circle(*arguments, twists=(twist,)) for twist in (0.0, 0.5)]
    assert abs(single[0] - single[1]) > 1e-3
    for twists in ((0.0, 0.5), (0.5, 0.0)):
        found = on_circle(*arguments, twists=twists)
        assert found == pytest.approx(min(single), rel=1e-9)
        assert found >= min(single) * (1 - 1e-12)


def test_most_matrices_need_no_eigenvalues(monkeypatch):
    calls = []
    eigenvalues = np.linalg.eigvalsh
    monkeypatch.setattr(np.linalg, "eigvalsh", lambda a: calls.append(1) or eigenvalues(a))
    on_circle(random_kernel(3, 3, 64, 64), (12, 12))
    # 84 frequencies; in random order, about the sum of 1 / n of them would set a record.
    assert 1 <= len(calls) <= 8
