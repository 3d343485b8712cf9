"""Spectral norms that are never below, and computed once for each matrix."""

import numpy as np
import pytest

from lipot.math import rounding


def test_a_norm_is_computed_once_for_the_same_contents(monkeypatch):
    asked, largest_of_one = [], rounding.largest_of_one
    monkeypatch.setattr(
        rounding, "largest_of_one", lambda gram: asked.append(gram) or largest_of_one(gram)
    )
    monkeypatch.setattr(rounding, "_KNOWN_NORMS", {})
    monkeypatch.setattr(rounding, "_MOST_KNOWN", 2)
    matrix = np.random.default_rng(0).normal(size=(6, 4))
    first = rounding.spectral_norm(matrix)
    assert rounding.spectral_norm(np.asfortranarray(matrix)) == first and len(asked) == 1
    matrix[2, 3] += 1.0
    assert rounding.spectral_norm(matrix) == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-9)
    # The same numbers in another shape are another matrix.
    for shape in ((4, 6), (24, 1)):
        other = matrix.reshape(shape)
        assert rounding.spectral_norm(other) == pytest.approx(np.linalg.norm(other, 2), rel=1e-9)
    assert len(asked) == 4 and len(rounding._KNOWN_NORMS) <= 2


def test_the_norm_of_a_large_matrix_is_proven_by_a_factorization():
    matrix = np.random.default_rng(0).normal(size=(1100, 1030))
    norm = np.linalg.norm(matrix, 2)
    assert norm <= rounding.spectral_norm(matrix) <= norm * (1 + 1e-8)
