"""Gram matrices of Fourier blocks, in two ways."""

import numpy as np
import pytest

from lipot.math import gram_symbol


@pytest.mark.parametrize("entries", [1, 100, 10**6])
def test_both_ways_to_the_gram_matrices_agree(entries, monkeypatch):
    monkeypatch.setattr(gram_symbol, "_BLOCK_ENTRIES", entries)
    kernel = np.random.default_rng(0).uniform(-1, 1, (3, 2, 5, 4))
    places, taps = gram_symbol.taps_of_stride_one(kernel, (2, 1), (1, 2))
    angles = np.random.default_rng(1).uniform(-9, 9, (11, 2)) @ places.T
    straight = np.concatenate(list(gram_symbol._products(taps, angles)))
    pairs = gram_symbol.pairs_of_taps(places)
    correlations = (*gram_symbol._correlations(taps, pairs), pairs)
    # One memory serves all of them in turn.
    source = gram_symbol._from_correlations(*correlations, angles)
    correlated = np.concatenate([grams.copy() for grams in source])
    np.testing.assert_allclose(correlated, straight, atol=1e-13)
