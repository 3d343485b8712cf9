"""Searches for neighbors outside the graph: in blocks, or by an index of the faiss package."""

import contextlib
import functools
import os

import numpy as np
from keras import ops

from lipot import backend, extras
from lipot.batches import spread
from lipot.files import replaced
from lipot.math.neighbors import SPARE, Neighbors
from lipot.math.precision import widest_float

# Points that are scored at once, at most, and numbers that a step holds.
_BLOCK = 16384
_NUMBERS = 2**23
# Points for each list that the lists are learned from.
_SAMPLE = 64


class BlockSearch:
    """All points in blocks, of which the best are kept: exact, in bounded memory.

    Args:
        codes: Rows `(n, d)`: an array, or what gives one for a range of rows.
        norms: Their squared norms, `(n,)`, likewise.
        path: Function from a name to a file where an index may be kept, or `None`.
    """

    # Whether neighbors may be missed, so that nothing is proven about the answers.
    approximate = False

    def __init__(self, codes, norms, path=None):
        self._codes, self._norms = codes, norms

    def holds(self, codes):
        """Whether the search was made of these points, as they are now."""
        return codes is self._codes or (
            isinstance(codes, np.ndarray) and np.array_equal(self._codes, codes)
        )

    def nearest(self, queries, count):
        """Finds neighbors.

        Args:
            queries: Array `(batch, d)`.
            count: Number of neighbors, at most that of the points.

        Returns:
            `(indices, distances)`, int32 and float64 arrays `(batch, count)`, nearest first.
        """
        queries = np.ascontiguousarray(queries, "float32")
        wanted = min(count + SPARE, len(self._codes))
        candidates = self.candidates(queries, wanted)
        step = max(1, _NUMBERS // (wanted * queries.shape[1]))
        parts = [
            self._sorted(queries[i : i + step], candidates[i : i + step], count)
            for i in range(0, len(queries), step)
        ]
        return tuple(np.concatenate(column) for column in zip(*parts))

    def candidates(self, queries, wanted):
        """Returns rows of the points with the best scores, `(batch, wanted)`."""
        best = np.full((len(queries), wanted), -np.inf, "float32")
        places = np.zeros((len(queries), wanted), "int64")
        size, step = self._block(), max(1, _NUMBERS // _BLOCK)
        for start in range(0, len(self._codes), size):
            block = self._codes[start : start + size]
            norms = self._norms[start : start + size]
            for i in range(0, len(queries), step):
                rows = slice(i, i + step)
                scores = 2.0 * queries[rows] @ block.T - norms
                best[rows], places[rows] = _merged(best[rows], places[rows], scores, start)
        return places

    def _block(self):
        """Points that are read at once: of wide codes fewer."""
        return min(_BLOCK, max(1, _NUMBERS // self._codes.shape[1]))

    def _sorted(self, queries, candidates, count):
        shifts = self._codes[candidates].astype("float64") - queries[:, None]
        distances = np.sqrt(np.einsum("nkd,nkd->nk", shifts, shifts))
        order = np.argsort(distances, axis=1, kind="stable")[:, :count]
        indices = np.take_along_axis(candidates, order, axis=1)
        return indices.astype("int32"), np.take_along_axis(distances, order, axis=1)


def check_faiss():
    """Raises where faiss is not installed: when a model is made, not in the middle of a program."""
    with extras.named():
        import faiss  # noqa: F401


class FaissSearch(BlockSearch):
    """A flat index of faiss: exact, all points in memory."""

    def __init__(self, codes, norms, path=None):
        # A copy, since weights may be changed in place.
        super().__init__(np.array(codes) if isinstance(codes, np.ndarray) else codes, norms)
        with extras.named():
            import faiss
        self._faiss = faiss
        kept = None if path is None else path(f"{type(self).__name__}.faiss")
        if kept is not None and os.path.exists(kept):
            self._index = faiss.read_index(kept)
        else:
            self._index = self._filled()
            self._keep(kept)
        self._settle(self._index)

    def candidates(self, queries, wanted):
        found = self._index.search(queries, wanted)[1]
        # Where lists hold fewer points than asked for, faiss says -1.
        short = np.any(found < 0, axis=1)
        if np.any(short):
            found[short] = super().candidates(queries[short], wanted)
        return found

    def _empty(self, dimension):
        return self._faiss.IndexFlatL2(dimension)

    def _settle(self, index):
        """Sets what a search looks at."""

    def _filled(self):
        codes = self._codes
        index = self._empty(codes.shape[1])
        if not index.is_trained:
            index.train(np.array(codes[spread(len(codes), _SAMPLE * index.nlist)]))
        size = self._block()
        for start in range(0, len(codes), size):
            index.add(np.ascontiguousarray(codes[start : start + size]))
        return index

    def _keep(self, path):
        if path is None:
            return
        # It saves the next process some time. From a folder that cannot be written, or a full
        # disk, each answers with an index of its own.
        with contextlib.suppress(OSError, RuntimeError), replaced(path) as draft:
            self._faiss.write_index(self._index, str(draft))


class FaissLists(FaissSearch):
    """An inverted file of faiss (IVF): the lists next to a query are looked at."""

    approximate = True

    def _empty(self, dimension):
        lists = max(1, min(int(4.0 * np.sqrt(len(self._codes))), len(self._codes) // 39))
        return self._faiss.IndexIVFFlat(self._faiss.IndexFlatL2(dimension), dimension, lists)

    def _settle(self, index):
        index.nprobe = max(1, index.nlist // 16)


class FaissGraph(FaissSearch):
    """A graph of faiss (HNSW) whose edges lead to the neighbors."""

    approximate = True

    def _empty(self, dimension):
        return self._faiss.IndexHNSWFlat(dimension, 32)

    def _settle(self, index):
        index.hnsw.efSearch = 128


# "exact" runs in the graph where the points are weights, and in blocks where they are in files.
SEARCHES = {
    "exact": BlockSearch,
    "faiss": FaissSearch,
    "faiss-ivf": FaissLists,
    "faiss-hnsw": FaissGraph,
}


class KeptSearch:
    """A search that is made when first asked, and kept for as long as the points are the same."""

    def __init__(self):
        self._search = None

    def nearest(self, kind, memory, codes, count):
        """Finds neighbors from within a program, which waits for the host meanwhile.

        Args:
            kind: Key of `SEARCHES`.
            memory: `NeighborMemory` whose points are searched.
            codes: Tensor `(batch, d)`.
            count: Number of neighbors.

        Returns:
            `Neighbors`.
        """
        found = [((count,), "int32"), ((count,), widest_float())]
        search = functools.partial(self._on_host, SEARCHES[kind], memory, count)
        return Neighbors(*backend.on_host(search, ops.stop_gradient(codes), found))

    def _on_host(self, make, memory, count, codes):
        stored, norms = memory.search_arrays()
        if self._search is None or not self._search.holds(stored):
            self._search = make(stored, norms, None if memory.files is None else memory.files.path)
        return self._search.nearest(codes, count)


def _merged(best, places, scores, start):
    """The best of two sets of scores; of equal ones those that came first."""
    wanted = best.shape[1]
    if scores.shape[1] > wanted:
        chosen = np.argpartition(-scores, wanted - 1, axis=1)[:, :wanted]
        scores = np.take_along_axis(scores, chosen, axis=1)
    else:
        chosen = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    scores, chosen = np.hstack([best, scores]), np.hstack([places, chosen + start])
    order = np.argsort(-scores, axis=1, kind="stable")[:, :wanted]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(chosen, order, axis=1)
