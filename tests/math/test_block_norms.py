"""Bound of singular values by factorizations, against the singular values themselves."""

import numpy as np
import pytest
from keras import ops

from lipot.math import block_norms
from lipot.math.block_norms import block_norm_bound
from lipot.math.precision import widest_float


def random_blocks(count, rows, columns, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, rows, columns)) + 1j * rng.normal(size=(count, rows, columns))


def with_spectra(spectra, seed=0):
    """Square blocks with given singular values, `(count, n)`."""
    spectra = np.asarray(spectra, "float64")
    count, size = spectra.shape
    left, _ = np.linalg.qr(random_blocks(count, size, size, seed))
    right, _ = np.linalg.qr(random_blocks(count, size, size, seed + 1))
    return (left * spectra[:, None, :]) @ right


def bound_of(blocks, dtype=None):
    real, imag = (ops.convert_to_tensor(part, dtype or widest_float()) for part in parts(blocks))
    return float(block_norm_bound(block_norms.gram_matrices(real, imag)))


def parts(blocks):
    return np.ascontiguousarray(blocks.real), np.ascontiguousarray(blocks.imag)


def largest(blocks):
    return np.linalg.norm(blocks, 2, axis=(1, 2)).max()


# Below this the bound may be by the backend's widest float alone; above it, by the degree.
LOW = 1e-12 if widest_float() == "float64" else 2e-6

SPECTRA = {
    "flat": np.ones((20, 16)),
    "one matrix stands out": np.where(np.arange(20)[:, None] == 7, 3.0, np.ones((20, 16))),
    "one value stands out": np.where(np.arange(16) == 3, 3.0, np.ones((20, 16))),
    "rank one": np.where(np.arange(16) == 0, 1.0, np.zeros((20, 16))),
    "close to each other": 1.0 + 1e-4 * np.random.default_rng(0).uniform(size=(20, 16)),
    "a little apart": 1.0 - np.linspace(0, 4e-3, 320).reshape(20, 16)[::-1],
    "many sizes": np.geomspace(1e-6, 1.0, 320).reshape(20, 16),
    "one small": np.full((1, 1), 1e-3),
    "a few": np.random.default_rng(1).uniform(size=(3, 2)),
}


# What an eigenvalue's bound may be above it, as a bound of its root.
SLACK = block_norms._SLACK / 2


@pytest.mark.parametrize("name", SPECTRA)
def test_the_bound_is_above_the_norm_and_close_to_it(name):
    blocks = with_spectra(SPECTRA[name])
    norm = largest(blocks)
    assert norm * (1 - LOW) <= bound_of(blocks) <= norm * (1 + 4 * SLACK + LOW)


@pytest.mark.parametrize("rows, columns", [(5, 9), (9, 5), (1, 7), (64, 64)])
@pytest.mark.parametrize("seed", range(2))
def test_random_blocks_of_every_shape(rows, columns, seed):
    blocks = random_blocks(30, rows, columns, seed)
    assert largest(blocks) * (1 - LOW) <= bound_of(blocks) <= largest(blocks) * (1 + 4 * SLACK)
    in_float32 = bound_of(blocks, dtype="float32")
    assert in_float32 == pytest.approx(largest(blocks), rel=4 * SLACK)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_unit_does_not_matter(scale):
    blocks = random_blocks(10, 6, 6)
    assert bound_of(scale * blocks) == pytest.approx(scale * bound_of(blocks), rel=1e-5)


def test_zeros():
    assert 0.0 <= bound_of(np.zeros((4, 3, 3), "complex128")) < 1e-7
    blocks = np.zeros((9, 3, 3), "complex128")
    blocks[4, 1, 2] = 1j
    assert 1.0 - LOW <= bound_of(blocks) <= 1.0 + 4 * SLACK


@pytest.mark.parametrize("guess", [1e-6, 0.5, 0.99, 1.0, 1.1, 40.0])
def test_a_wrong_guess_costs_tightness_alone(guess, monkeypatch):
    def guessed(*searched):
        found, promising = search(*searched)
        return guess * found, promising

    search = block_norms._found
    monkeypatch.setattr(block_norms, "_found", guessed)
    # A program that was traced before knows nothing of the guess.
    monkeypatch.setattr(block_norms.backend, "traced_for_all_sizes", lambda function: function)
    blocks = random_blocks(30, 8, 8)
    # An eigenvalue is overshot by as much as the guess misses, or by all of what it is too large.
    most = max(guess, 2.0 - guess) ** 0.5
    assert (
        largest(blocks) * (1 - LOW) <= bound_of(blocks) <= largest(blocks) * most * (1 + 4 * SLACK)
    )


@pytest.mark.parametrize("missed", [1e-6, 1e-4, 1e-2])
def test_no_number_below_an_eigenvalue_is_proven(missed):
    blocks = with_spectra(SPECTRA["flat"])
    grams = block_norms.gram_matrices(
        *(ops.convert_to_tensor(p, widest_float()) for p in parts(blocks))
    )
    identity = ops.eye(blocks.shape[-1], dtype=widest_float())
    assert not bool(grams.all_below(1.0 - missed, identity))
    assert bool(grams.all_below(1.0 + max(missed, 4 * LOW), identity))


@pytest.mark.parametrize("size", [100, 300])
def test_many_eigenvalues_close_to_the_largest(size):
    """The edge of a random spectrum, where powers find little."""
    blocks = random_blocks(4, size, size)
    assert largest(blocks) * (1 - LOW) <= bound_of(blocks) <= largest(blocks) * (1 + 1e-4)


def test_nan_is_no_bound():
    blocks = random_blocks(3, 4, 4)
    blocks[1, 2, 2] = np.nan
    assert np.isnan(bound_of(blocks))


@pytest.mark.parametrize("place", [0, 1, 11, 23, 24])
def test_the_largest_is_found_wherever_it_is(place):
    """The first steps of the power iteration cannot tell these matrices apart."""
    spectra = np.ones((25, 8))
    spectra[place, 3] = 1.0 + 2e-5
    assert (1.0 + 2e-5) * (1 - LOW) <= bound_of(with_spectra(spectra)) <= 1.0 + 2e-5 + 4 * SLACK


def test_the_bound_is_the_same_each_time():
    blocks = random_blocks(30, 12, 12)
    assert bound_of(blocks, dtype="float32") == bound_of(blocks, dtype="float32")
