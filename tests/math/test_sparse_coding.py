"""Convolutional sparse coding against scikit-learn's lasso, and worked out by hand."""

import functools

import numpy as np
import pytest
import sklearn.linear_model
from keras import ops

from lipot import backend
from lipot.math import sparse_coding
from tests.helpers import to_numpy


def matrix(atoms, grid, strides):
    """What `synthesize` does as a matrix, pixels times codes."""
    shape = (*grid, atoms.shape[-1])
    units = np.eye(int(np.prod(shape)), dtype="float32").reshape(-1, *shape)
    return to_numpy(sparse_coding.synthesize(units, atoms, strides)).reshape(len(units), -1).T


def solved(x, atoms, **how):
    """Compiled: its many steps take long one by one."""
    return backend.compile(functools.partial(sparse_coding.sparse_codes, **how))(x, atoms)


def random_atoms(size, channels, count, seed=0):
    atoms = np.random.default_rng(seed).normal(size=(size, size, channels, count))
    return (atoms / np.linalg.norm(atoms.reshape(-1, count), axis=0)).astype("float32")


def test_it_is_the_lasso_of_scikit_learn():
    atoms, weight = random_atoms(3, 1, 3), 0.1
    x = np.random.default_rng(1).uniform(size=(2, 5, 5, 1)).astype("float32")
    how = {"weight": weight, "strides": 1}
    codes = solved(x, atoms, iterations=800, **how)
    dictionary = matrix(atoms, (5, 5), 1)
    lasso = sklearn.linear_model.Lasso(
        alpha=weight / 25, fit_intercept=False, max_iter=100_000, tol=1e-10
    )
    tensors = (ops.convert_to_tensor(part) for part in (x, codes, atoms))
    found = to_numpy(sparse_coding.objective(*tensors, **how))
    for image, code, value in zip(x, to_numpy(codes), found):
        best = lasso.fit(dictionary, image.ravel()).coef_
        least = 0.5 * np.sum((image.ravel() - dictionary @ best) ** 2) + weight * np.abs(best).sum()
        assert np.isclose(value, least, rtol=1e-4)
        # The minimizer may not be unique, what it synthesizes is.
        assert np.allclose(dictionary @ code.ravel(), dictionary @ best, atol=2e-3)


def test_separate_patches_are_separate_problems():
    atoms, weight = random_atoms(3, 2, 12), 0.2
    x = np.random.default_rng(2).uniform(size=(1, 6, 6, 2)).astype("float32")
    codes = to_numpy(solved(x, atoms, weight=weight, strides=3, iterations=800))
    flat = atoms.reshape(-1, 12)
    lasso = sklearn.linear_model.Lasso(
        alpha=weight / 18, fit_intercept=False, max_iter=100_000, tol=1e-10
    )
    for row in range(2):
        for column in range(2):
            patch = x[:, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3].ravel()
            expected = lasso.fit(flat, patch).coef_
            assert np.allclose(codes[0, row, column], expected, atol=1e-3)


def test_with_orthonormal_patches_it_shrinks_their_coefficients():
    atoms = sparse_coding.cosine_atoms(4, 1, 16)
    x = np.random.default_rng(3).uniform(size=(1, 4, 4, 1)).astype("float32")
    coefficients = atoms.reshape(16, 16).T @ x.ravel()
    expected = np.sign(coefficients) * np.maximum(np.abs(coefficients) - 0.1, 0.0)
    codes = solved(x, atoms, weight=0.1, strides=4, iterations=60)
    assert np.allclose(to_numpy(codes).ravel(), expected, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_cosine_atoms_are_orthonormal_and_start_smooth(channels):
    atoms = sparse_coding.cosine_atoms(3, channels, 9 * channels).reshape(9 * channels, -1)
    assert np.allclose(atoms.T @ atoms, np.eye(9 * channels), atol=1e-6)
    assert np.allclose(atoms[:, 0], atoms[0, 0])


@pytest.mark.parametrize("size, strides, count", [(3, 1, 4), (3, 2, 20), (4, 4, 3), (2, 1, 1)])
def test_the_norm_is_bounded_and_not_far_off(size, strides, count):
    atoms = random_atoms(size, 1, count, seed=count)
    bound = float(sparse_coding.squared_norm_bound(atoms, strides))
    true = np.linalg.norm(matrix(atoms, (12 // strides, 12 // strides), strides), 2) ** 2
    assert true <= bound * (1 + 1e-6)
    overlaps = (-(-size // strides)) ** 2
    gram = np.linalg.norm(atoms.reshape(-1, count), 2) ** 2
    assert bound <= 1.15 * overlaps * gram


@pytest.mark.parametrize("size, strides", [(1, 1), (4, 1), (5, 1), (3, 2), (5, 2), (4, 4), (6, 4)])
def test_atoms_lie_where_the_padding_of_convolutions_puts_them(size, strides):
    atoms = random_atoms(size, 2, 3)
    codes = np.random.default_rng(5).normal(size=(2, 3, 4, 3)).astype("float32")
    over = (size - strides) // 2
    canvas = np.zeros((2, 40, 40, 2))
    for row, column in np.ndindex(3, 4):
        top, left = 10 + row * strides - over, 10 + column * strides - over
        placed = np.einsum("bn,ijcn->bijc", codes[:, row, column], atoms)
        canvas[:, top : top + size, left : left + size] += placed
    expected = canvas[:, 10 : 10 + 3 * strides, 10 : 10 + 4 * strides]
    found = to_numpy(sparse_coding.synthesize(codes, atoms, strides))
    assert np.allclose(found, expected, atol=1e-5)


def test_analyze_is_the_adjoint_of_synthesize():
    atoms = random_atoms(5, 2, 3)
    rng = np.random.default_rng(4)
    x, z = rng.normal(size=(1, 8, 8, 2)), rng.normal(size=(1, 4, 4, 3))
    x, z = x.astype("float32"), z.astype("float32")
    left = np.sum(to_numpy(sparse_coding.synthesize(z, atoms, 2)) * x)
    right = np.sum(to_numpy(sparse_coding.analyze(ops.convert_to_tensor(x), atoms, 2)) * z)
    assert np.isclose(left, right, rtol=1e-4)
