"""Where an evaluation holds its points: in memory, or in a file that is read in parts."""

import tempfile

import numpy as np

from lipot.batches import Points, is_dataset

# Points read, written or looked at in one go.
_ROWS = 4096


def held(x, y):
    """Makes points that can be read in any order, since attacks return to those that still stand.

    A data set is read once into a temporary file, which vanishes with the arrays that map it; a
    memory map is read where it is, and its labels are given with it. Neither is ever in memory
    as a whole.

    Args:
        x: What `lipot.evaluate` takes as points.
        y: Labels; `None` for a data set, which brings its own.

    Returns:
        `(x, y)`: arrays, or a memory map of float32 and its labels.
    """
    if is_dataset(x):
        return _written(Points(x, y))
    if isinstance(x, np.memmap) and x.dtype != np.float32 and x.ndim and len(x):
        return _written(Points(x))[0], y
    return x, y


def like(x, copies):
    """Copies of points, `(copies, n, ...)`: in memory if they are, else in a temporary file."""
    if not isinstance(x, np.memmap):
        return np.tile(x, (copies, *[1] * x.ndim))
    # The map keeps the file, which has no name and goes with it.
    with tempfile.TemporaryFile() as file:
        made = np.memmap(file, "float32", "w+", shape=(copies, *x.shape))
    for start in range(0, len(x), _ROWS):
        made[:, start : start + _ROWS] = x[start : start + _ROWS]
    return made


def in_parts(function, x, rows=_ROWS):
    """Applies a function to points, so many at a time, and joins what it returns."""
    return np.concatenate([function(x[i : i + rows]) for i in range(0, len(x), rows)])


def _written(points):
    labels, shape, count = [], None, 0
    with tempfile.TemporaryFile() as file:
        for batch, truth in points.batches(_ROWS):
            file.write(np.ascontiguousarray(batch, "float32").tobytes())
            labels.append(truth)
            shape, count = batch.shape[1:], count + len(batch)
        file.flush()
        x = np.memmap(file, "float32", "r", shape=(count, *shape))
    return x, None if labels[0] is None else np.concatenate(labels)
