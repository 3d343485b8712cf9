"""Nearest neighbors against scikit-learn."""

import numpy as np
from keras import ops
from sklearn.neighbors import NearestNeighbors

from lipot.math.neighbors import nearest_neighbors


def test_agrees_with_scikit_learn_where_float32_cancels():
    rng = np.random.default_rng(0)
    # Points far from the origin and close together: |p|^2 - 2 x.p loses the order of many.
    points = (50.0 + 0.1 * rng.normal(size=(500, 20))).astype("float32")
    queries = (50.0 + 0.1 * rng.normal(size=(40, 20))).astype("float32")
    norms = np.sum(points**2, axis=1)
    found = nearest_neighbors(*map(ops.convert_to_tensor, (queries, points, norms)), 5)
    expected = NearestNeighbors(n_neighbors=5, algorithm="brute")
    expected.fit(points.astype("float64"))
    distances, indices = expected.kneighbors(queries.astype("float64"))
    agree = np.mean(np.asarray(found.indices) == indices)
    assert agree > 0.9
    points = points - points.mean(axis=0)
    queries = queries - np.float32(50.0)
    norms = np.sum(points**2, axis=1)
    found = nearest_neighbors(*map(ops.convert_to_tensor, (queries, points, norms)), 5)
    expected.fit(points.astype("float64"))
    distances, indices = expected.kneighbors(queries.astype("float64"))
    np.testing.assert_array_equal(np.asarray(found.indices), indices)
    np.testing.assert_allclose(np.asarray(found.distances), distances, atol=1e-9)


def test_gives_all_points_where_there_are_too_few():
    points = ops.convert_to_tensor([[0.0], [2.0]])
    found = nearest_neighbors(points, points, ops.sum(points**2, axis=1), 5)
    np.testing.assert_array_equal(np.asarray(found.indices), [[0, 1], [1, 0]])
    np.testing.assert_array_equal(np.asarray(found.distances), [[0.0, 2.0], [0.0, 2.0]])
