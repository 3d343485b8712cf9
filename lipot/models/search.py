"""Engines that find candidate neighbors."""

import numpy as np

from lipot import extras
from lipot.math.neighbors import SPARE


class ExactSearch:
    """One matrix product in the compiled graph; see `lipot.math.neighbors`."""

    in_graph = True


class FaissSearch:
    """An exact l2 index of the faiss package, outside the graph.

    Args:
        points: Array `(n, d)`.
    """

    in_graph = False

    def __init__(self, points):
        with extras.named():
            import faiss
        self._points = np.array(points, "float32", order="C")
        self._index = faiss.IndexFlatL2(points.shape[1])
        self._index.add(self._points)

    def holds(self, points):
        """Whether the index was made of these points, as they are now."""
        return np.array_equal(self._points, points)

    def candidates(self, queries, count):
        """Returns rows of the points, `(batch, m)` with m >= count where there are as many."""
        wanted = min(count + SPARE, self._index.ntotal)
        return self._index.search(np.ascontiguousarray(queries, "float32"), wanted)[1]


SEARCHES = {"exact": ExactSearch, "faiss": FaissSearch}
