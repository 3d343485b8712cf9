"""Largest eigenvalues by factorizations, against those of NumPy."""

import numpy as np
import pytest

from lipot.math import hermitian_maximum


def test_a_level_is_proven_only_above_the_largest_eigenvalue():
    rng = np.random.default_rng(0)
    for size in (1, 5, 80):
        block = rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size))
        gram = block @ block.conj().T
        largest = np.linalg.eigvalsh(gram)[-1]
        assert hermitian_maximum.proven_below(gram[None], largest * (1 - 1e-9)) is None
        assert hermitian_maximum.proven_below(gram[None], 0.5 * largest) is None
        bound = hermitian_maximum.proven_below(gram[None], largest * (1 + 1e-9))
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
        bound = hermitian_maximum.proven_below(gram[None], largest * (1 - below))
        assert bound is None or bound >= largest


def test_matrices_are_proven_together_where_all_of_them_can_be():
    rng = np.random.default_rng(2)
    grams = np.stack([np.diag(rng.uniform(0, 1, 5)) + 0j for _ in range(20)])
    grams[13, 2, 2] = 1.5
    assert hermitian_maximum.proven_below(grams, 1.4) is None
    assert hermitian_maximum.proven_below(grams[:13], 1.4) == pytest.approx(1.4)
    for order in (np.arange(20), np.arange(20)[::-1]):
        largest, bound = hermitian_maximum._settled(grams[order], 0.5)
        assert largest == pytest.approx(1.5, rel=1e-12)
        assert largest <= bound <= 1.5 * (1 + 1e-9)
    # What was found elsewhere stays a level, however small these are.
    largest, bound = hermitian_maximum._settled(grams[:13], 2.0)
    assert largest == 2.0 <= bound <= 2.0 * (1 + 1e-9)


def random_grams(count, size, seed=0):
    rng = np.random.default_rng(seed)
    blocks = rng.normal(size=(2, count, size, size))
    blocks = blocks[0] + 1j * blocks[1]
    return blocks @ blocks.conj().transpose(0, 2, 1)


@pytest.mark.parametrize("size", [1, 2, 13, 14, 60])
def test_estimates_are_below_the_eigenvalues_and_close(size):
    grams = random_grams(6, size)
    grams[3] = np.eye(size)
    grams[4] = 0.0
    found = hermitian_maximum.estimated_eigenvalues(iter([grams[:4], grams[4:]]))
    expected = np.linalg.eigvalsh(grams)[:, -1]
    assert np.all(found <= expected * (1 + 1e-12))
    assert np.all(found >= 0.95 * expected)
    if size <= 14:
        np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("quantile", [0.0, 0.3, 0.9, 1.0])
def test_what_is_not_proven_is_told_apart(quantile):
    grams = random_grams(17, 8)
    eigenvalues = np.linalg.eigvalsh(grams)[:, -1]
    level = np.quantile(eigenvalues, quantile) * (1 + 1e-6)
    left, bound = hermitian_maximum.unproven(grams, level)
    np.testing.assert_array_equal(left, eigenvalues > level)
    assert eigenvalues[~left].max() <= bound <= level * (1 + 1e-9)


def test_where_nothing_is_proven_all_is_left():
    grams = random_grams(3, 4)
    left, bound = hermitian_maximum.unproven(grams, 1e-3)
    assert left.all() and bound == 0.0


def clustered(size, seed=3):
    """Eigenvalues so many and so close to the largest that a few steps miss it by far."""
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]
    return (rotation * (1.0 - np.linspace(0, 1e-2, size) ** 3)) @ rotation.T


@pytest.mark.parametrize("steps", [3, 120])
@pytest.mark.parametrize("kind", ["random", "identity", "clustered", "rank one"])
def test_the_largest_of_one_matrix_is_never_below(kind, steps, monkeypatch):
    monkeypatch.setattr(hermitian_maximum, "_ALONE_FROM", 1)
    monkeypatch.setattr(hermitian_maximum, "_ALONE_STEPS", steps)
    vector = np.linspace(-1, 1, 150)
    gram = {
        "random": lambda: random_grams(1, 150)[0].real,
        "identity": lambda: np.eye(150),
        "clustered": lambda: clustered(150),
        "rank one": lambda: np.outer(vector, vector),
    }[kind]()
    largest = np.linalg.eigvalsh(gram)[-1]
    bound = hermitian_maximum.largest_of_one(gram)
    # Where the steps stop too early all eigenvalues are computed.
    assert largest * (1 - 1e-14) <= bound <= largest * (1 + 1.1e-6)
    if steps == 120:
        assert bound <= largest * (1 + 1e-9)
