"""Largest eigenvalues of Fourier blocks: factorizations against eigenvalues, and their rounding."""

import math

import numpy as np
import pytest

from lipot.math import gram_spectrum
from lipot.math.gram_spectrum import largest_gram_eigenvalue


def random_kernel(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, size=shape)


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
    monkeypatch.setattr(gram_spectrum, "_PROVE_FROM", prove_from)
    for shape in [(3, 3, 2, 3), (2, 4, 3, 2), (3, 1, 1, 5), (1, 1, 4, 4)]:
        kernel = random_kernel(*shape)
        expected = squared_norm(kernel, grid, strides, dilation, twist)
        found = largest_gram_eigenvalue(kernel, grid, strides, dilation, (twist,))
        assert expected * (1 - 1e-12) <= found <= expected * (1 + 1e-9)


@pytest.mark.parametrize(
    "shape, size", [((3, 3, 64, 64), 6), ((3, 3, 48, 80), 16), ((7, 7, 50, 50), 7)]
)
def test_factorizations_of_large_matrices_prove_their_largest(shape, size):
    kernel = random_kernel(*shape)
    expected = squared_norm(kernel, (size, size), (1, 1), (1, 1), 0.5)
    found = largest_gram_eigenvalue(kernel, (size, size), (1, 1), (1, 1), (0.5,))
    assert expected * (1 - 1e-12) <= found <= expected * (1 + 1e-9)


@pytest.mark.parametrize("entries", [1, 100, 10**6])
def test_both_ways_to_the_gram_matrices_agree(entries, monkeypatch):
    monkeypatch.setattr(gram_spectrum, "_BLOCK_ENTRIES", entries)
    kernel = random_kernel(3, 2, 5, 4)
    places, taps = gram_spectrum._stride_one(kernel, (2, 1), (1, 2))
    angles = gram_spectrum._angles(places, (4, 5), 0.5)
    straight = np.concatenate(list(gram_spectrum._products(taps, angles)))
    correlations = gram_spectrum._correlations(taps, places)
    # One memory serves all of them in turn.
    source = gram_spectrum._from_correlations(*correlations, angles)
    correlated = np.concatenate([grams.copy() for grams in source])
    np.testing.assert_allclose(correlated, straight, atol=1e-13)


def test_a_level_is_proven_only_above_the_largest_eigenvalue():
    rng = np.random.default_rng(0)
    for size in (1, 5, 80):
        block = rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size))
        gram = block @ block.conj().T
        largest = np.linalg.eigvalsh(gram)[-1]
        assert gram_spectrum._proven_below(gram[None], largest * (1 - 1e-9)) is None
        assert gram_spectrum._proven_below(gram[None], 0.5 * largest) is None
        bound = gram_spectrum._proven_below(gram[None], largest * (1 + 1e-9))
        # The level itself is not proven: the factorization may have lost its share of the trace.
        rest = size * largest * (1 + 1e-9) - np.trace(gram).real
        assert bound >= largest * (1 + 1e-9) + (size + 1) * 2.0**-53 * rest
        assert bound <= largest * (1 + 2e-9)


def test_levels_that_rounding_hides_are_covered():
    """A factorization may succeed a little below the largest eigenvalue; the bound does not."""
    rng = np.random.default_rng(1)
    orthogonal = np.linalg.qr(rng.normal(size=(60, 60)))[0]
    gram = (orthogonal * np.linspace(0, 1, 60)) @ orthogonal.T + 0j
    largest = np.linalg.eigvalsh(gram)[-1]
    for below in (0.0, 1e-16, 1e-15, 1e-14, 1e-13):
        bound = gram_spectrum._proven_below(gram[None], largest * (1 - below))
        assert bound is None or bound >= largest


def test_matrices_are_proven_together_where_all_of_them_can_be():
    rng = np.random.default_rng(2)
    grams = np.stack([np.diag(rng.uniform(0, 1, 5)) + 0j for _ in range(20)])
    grams[13, 2, 2] = 1.5
    assert gram_spectrum._proven_below(grams, 1.4) is None
    assert gram_spectrum._proven_below(grams[:13], 1.4) == pytest.approx(1.4)
    for order in (np.arange(20), np.arange(20)[::-1]):
        largest, bound = gram_spectrum._settled(grams[order], 0.5)
        assert largest == pytest.approx(1.5, rel=1e-12)
        assert largest <= bound <= 1.5 * (1 + 1e-9)
    # What was found elsewhere stays a level, however small these are.
    largest, bound = gram_spectrum._settled(grams[:13], 2.0)
    assert largest == 2.0 <= bound <= 2.0 * (1 + 1e-9)


@pytest.mark.parametrize("misled", [1.0, -1.0])
def test_the_order_of_the_estimates_is_no_part_of_the_proof(misled, monkeypatch):
    """Whatever is thought to be large, all matrices are looked at."""
    estimates = gram_spectrum._estimates
    monkeypatch.setattr(gram_spectrum, "_PROVE_FROM", 1)
    monkeypatch.setattr(gram_spectrum, "_estimates", lambda *a: misled * estimates(*a))
    kernel = random_kernel(3, 3, 5, 6)
    expected = min(squared_norm(kernel, (9, 8), (1, 1), (1, 1), twist) for twist in (0.0, 0.5))
    found = largest_gram_eigenvalue(kernel, (9, 8), (1, 1), (1, 1), (0.0, 0.5))
    assert expected * (1 - 1e-12) <= found <= expected * (1 + 1e-9)


def dirichlet_kernel():
    """All ones: the norm is attained at one frequency alone, and falls off as fast as can be."""
    return np.ones((5, 5, 3, 2)) / 7


@pytest.mark.parametrize("prove_from", [1, 1000])
def test_extreme_kernels(prove_from, monkeypatch):
    monkeypatch.setattr(gram_spectrum, "_PROVE_FROM", prove_from)
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
            found = largest_gram_eigenvalue(kernel, (7, 6), (1, 1), (1, 1), (twist,))
            assert expected * (1 - 1e-12) <= found <= expected * (1 + 1e-9)
    assert largest_gram_eigenvalue(np.zeros((3, 3, 6, 6)), (4, 4), (1, 1), (1, 1)) == 0.0


@pytest.mark.parametrize("prove_from", [1, 1000])
@pytest.mark.parametrize("seed", range(4))
def test_the_least_of_two_twists_is_taken(prove_from, seed, monkeypatch):
    monkeypatch.setattr(gram_spectrum, "_PROVE_FROM", prove_from)
    arguments = (random_kernel(3, 3, 4, 4, seed=seed), (6, 6), (1, 1), (1, 1))
    single = [largest_gram_eigenvalue(*arguments, (twist,)) for twist in (0.0, 0.5)]
    assert abs(single[0] - single[1]) > 1e-3
    for twists in ((0.0, 0.5), (0.5, 0.0)):
        found = largest_gram_eigenvalue(*arguments, twists)
        assert found == pytest.approx(min(single), rel=1e-9)
        assert found >= min(single) * (1 - 1e-12)


def test_most_matrices_need_no_eigenvalues(monkeypatch):
    calls = []
    eigenvalues = np.linalg.eigvalsh
    monkeypatch.setattr(np.linalg, "eigvalsh", lambda a: calls.append(1) or eigenvalues(a))
    largest_gram_eigenvalue(random_kernel(3, 3, 64, 64), (12, 12), (1, 1), (1, 1))
    # 84 frequencies; in random order, about the sum of 1 / n of them would set a record.
    assert 1 <= len(calls) <= 8
