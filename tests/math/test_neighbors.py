"""Nearest neighbors against scikit-learn."""

import os
import subprocess
import sys

import numpy as np
import pytest
from keras import ops
from sklearn.neighbors import NearestNeighbors

from lipot.math import neighbors
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


@pytest.mark.parametrize(
    ("parts", "block"), [(1, 3), (1, 64), (1, 499), (2, 1000), (4, 64), (250, 1000)]
)
def test_points_in_parts_and_blocks_give_what_all_at_once_give(parts, block, monkeypatch):
    rng = np.random.default_rng(1)
    # Whole numbers: no rounding, and many equal distances, whose order is that of the points.
    points = rng.integers(0, 4, size=(500, 6)).astype("float32")
    queries = rng.integers(0, 4, size=(30, 6)).astype("float32")
    arrays = *map(ops.convert_to_tensor, (queries, points, np.sum(points**2, axis=1))), 7
    expected = nearest_neighbors(*arrays)
    monkeypatch.setattr(neighbors, "_BLOCK", block)
    found = nearest_neighbors(*arrays, parts)
    for ours, theirs in zip(found, expected):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_parts_that_do_not_divide_the_points_are_refused():
    points = ops.ones((500, 6))
    with pytest.raises(ValueError, match="argument `parts`. Expected a divisor of 500"):
        nearest_neighbors(points, points, 6.0 * ops.ones((500,)), 7, 3)


@pytest.mark.slow
def test_memory_of_a_search_does_not_grow_with_the_points():
    """The program over a million points works in a fraction of the scores of all at once."""
    script = """
import resource, sys
import numpy as np
from lipot import backend
from lipot.math.neighbors import nearest_neighbors
points = np.random.default_rng(0).normal(size=(int(sys.argv[1]), 8)).astype("float32")
arrays = points[:512], points, np.sum(points**2, axis=1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
backend.compile(lambda *tensors: nearest_neighbors(*tensors, 5))(*arrays)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    used = [
        int(subprocess.check_output([sys.executable, "-c", script, count], env=environment))
        for count in ("65536", "1000000")
    ]
    # The points take 36,000 kilobytes, the scores of a block are in both numbers. Those of all
    # blocks at once would take 512 x 10^6 x 4 bytes, 2 million kilobytes.
    assert used[1] - used[0] < 120_000
