"""Bound of singular values by Chebyshev polynomials, against the singular values themselves."""

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


def bound_of(blocks, *arguments, dtype=None):
    real, imag = (ops.convert_to_tensor(part, dtype or widest_float()) for part in parts(blocks))
    return float(block_norm_bound(real, imag, *arguments))


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


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("doublings", [0, 1, 5, 6, 10])
def test_the_bound_is_above_the_norm_and_as_tight_as_its_degree(name, doublings):
    blocks = with_spectra(SPECTRA[name])
    size = blocks.shape[1]
    norm = largest(blocks)
    bound = bound_of(blocks, doublings)
    assert norm * (1 - LOW) <= bound
    # The excess for a level that is the norm; power iterations need not find it to the last bit.
    excess = np.cosh(np.log(4 * size) / 2 ** (doublings + 1)) - 1
    assert bound <= norm * (1 + 2 * excess + 4e-6 + LOW)


@pytest.mark.parametrize("rows, columns", [(5, 9), (9, 5), (1, 7), (64, 64)])
@pytest.mark.parametrize("seed", range(2))
def test_random_blocks_of_every_shape(rows, columns, seed):
    blocks = random_blocks(30, rows, columns, seed)
    assert largest(blocks) * (1 - LOW) <= bound_of(blocks) <= largest(blocks) * (1 + 5e-6)
    in_float32 = bound_of(blocks, dtype="float32")
    assert in_float32 == pytest.approx(largest(blocks), rel=5e-6)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_unit_does_not_matter(scale):
    blocks = random_blocks(10, 6, 6)
    assert bound_of(scale * blocks) == pytest.approx(scale * bound_of(blocks), rel=1e-5)


def test_zeros():
    assert 0.0 <= bound_of(np.zeros((4, 3, 3), "complex128")) < 1e-7
    blocks = np.zeros((9, 3, 3), "complex128")
    blocks[4, 1, 2] = 1j
    assert 1.0 - LOW <= bound_of(blocks) <= 1.0 + 2e-6


@pytest.mark.parametrize("level", [1e-4, 0.3, 0.9, 0.999999, 1.0, 1.1, 40.0])
@pytest.mark.parametrize("doublings", [0, 3, 10])
def test_every_level_gives_a_bound(level, doublings):
    """The level is a guess: the polynomial proves something whatever it is."""
    blocks = with_spectra(np.random.default_rng(2).uniform(size=(6, 8)))
    norms = np.linalg.norm(blocks, 2, axis=(1, 2))
    tensors = (ops.convert_to_tensor(part, widest_float()) for part in parts(blocks))
    grams = block_norms.gram_matrices(*tensors)
    square = ops.cast(level * norms.max() ** 2, widest_float())
    first = block_norms._first_degree(grams, square)
    polynomials = block_norms._chebyshev(first, doublings)
    bounds = ops.convert_to_numpy(block_norms._bounds(polynomials, square, doublings))
    assert bounds.shape == (6,)
    assert np.all(bounds >= norms * (1 - LOW))


@pytest.mark.parametrize("guess", [1e-6, 0.5, 2.0])
def test_a_wrong_guess_costs_tightness_alone(guess, monkeypatch):
    level = block_norms._level
    monkeypatch.setattr(block_norms, "_level", lambda grams: guess * level(grams))
    blocks = random_blocks(30, 8, 8)
    bound = bound_of(blocks)
    assert largest(blocks) * (1 - LOW) <= bound <= largest(blocks) * max(1.0, guess) * 1.001


@pytest.mark.parametrize("count, size, doublings", [(128, 128, 10), (129, 128, 6), (8, 512, 6)])
def test_many_large_matrices_get_a_lower_degree(count, size, doublings, monkeypatch):
    seen, chebyshev = [], block_norms._chebyshev

    def counted(polynomials, doublings):
        seen.append(doublings)
        return chebyshev(polynomials, 0)

    monkeypatch.setattr(block_norms, "_chebyshev", counted)
    blocks = ops.ones((count, size, size))
    block_norm_bound(blocks, 0.0 * blocks)
    assert seen == [doublings]


def test_the_lower_degree_leaves_what_it_says(monkeypatch):
    monkeypatch.setattr(block_norms, "_MANY", 0)
    flat = with_spectra(np.ones((2, 200)))
    assert 1.0 - LOW <= bound_of(flat) <= 1.0 + 5e-4


@pytest.mark.parametrize("place", [0, 1, 11, 23, 24])
def test_the_largest_is_found_wherever_it_is(place):
    """The first steps of the power iteration cannot tell these matrices apart."""
    spectra = np.ones((25, 8))
    spectra[place, 3] = 1.0 + 2e-5
    assert (1.0 + 2e-5) * (1 - LOW) <= bound_of(with_spectra(spectra)) <= 1.0 + 2.5e-5


def test_the_bound_is_the_same_each_time():
    blocks = random_blocks(30, 12, 12)
    assert bound_of(blocks, dtype="float32") == bound_of(blocks, dtype="float32")
