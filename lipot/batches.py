"""Points batch by batch, wherever they are kept, and `predict` for any number of them."""

import itertools
import mmap

import keras
import numpy as np

from lipot import backend, checks

_INFINITE = -1
# What is said where inputs are none of these, such as a generator.
INPUTS = (
    "an array of inputs, such as NumPy's, a tf.data.Dataset, a keras.utils.PyDataset or a "
    "torch.utils.data.DataLoader"
)


def spread(count, most):
    """At most so many of `count` rows, evenly: data may be sorted by class.

    Example:

    >>> spread(5, 3).tolist(), spread(2, 3).tolist()
    ([0, 2, 4], [0, 1])
    """
    return np.linspace(0, count - 1, min(count, most)).astype(int)


class Points:
    """Inputs, and their labels where there are any, that are read batch by batch.

    Whatever the source gives at once, what comes out are NumPy batches of the size asked for, the
    last one smaller, so that results do not depend on how the data are stored. One pass holds one
    batch of the source and one of what is asked for.

    Args:
        x: Array or memory map `(n, ...)`; or a `tf.data.Dataset`, a `keras.utils.PyDataset` or a
            `torch.utils.data.DataLoader` of batches `x`, `(x, y)` or `(x, y, sample_weight)`, the
            weights ignored; each may be the only entry of a dictionary by name.
        y: Labels `(n, ...)` of an array of inputs; a data set brings its own.

    Raises:
        ValueError: If there are no points, no end of them, or points of several shapes, or if
            the source ends before it said; the last two once the place is reached.

    Example:

    >>> points = Points(np.arange(10.0).reshape(5, 2), [0, 1, 0, 1, 0])
    >>> [(len(x), y.tolist()) for x, y in points.batches(2)]
    [(2, [0, 1]), (2, [0, 1]), (1, [0])]
    """

    def __init__(self, x, y=None):
        self.in_memory = not is_dataset(x)
        if self.in_memory:
            x = checks.array("x", x, INPUTS)
            y = checks.optional(checks.array, "y", y, "an array of labels")
        elif y is not None:
            raise checks.invalid("y", "None, since a data set `x` brings its own labels", y)
        self._x, self._y = x, y
        if self.in_memory and y is not None and len(y) != len(x):
            raise checks.refused(
                "y", f"one label for each of the {len(x)} points", f"{len(y)} labels"
            )

    def batches(self, size):
        """Yields `(x, y)` of `size` rows each, the last of fewer; `y` is `None` without labels."""
        return self._batches(checks.positive_int("batch_size", size))

    def _batches(self, size):
        waiting, rows, shape, labelled, seen = [], 0, None, None, 0
        for x, y in self._chunks(size):
            shape = _same_shape(shape, x, seen)
            labelled = _all_or_none(labelled, y)
            seen += len(x)
            waiting, rows = [*waiting, (x, y)], rows + len(x)
            while rows >= size:
                joined, waiting = _split(waiting, size)
                rows -= size
                yield joined
        if seen == 0:
            raise checks.refused("x", "at least one point", "none")
        if rows:
            yield _split(waiting, rows)[0]

    def sample_shape(self):
        """Shape of one point, that of the first."""
        return next(self.batches(1))[0].shape[1:]

    def count(self):
        """How many points an array holds; `None` for a data set, which must be read to know."""
        return len(self._x) if self.in_memory else None

    def _chunks(self, size):
        if self.in_memory:
            for rows in batch_slices(len(self._x), size):
                yield self._x[rows], None if self._y is None else self._y[rows]
                _unload(self._x)
        elif isinstance(self._x, keras.utils.PyDataset):
            yield from _of_py_dataset(self._x)
        elif _is_loader(self._x):
            yield from _counted(self._x, _length(self._x))
        else:
            yield from _of_tf_dataset(self._x)


def with_shape(batches):
    """The shape of one point, and the batches that it was read from, the first one included.

    Args:
        batches: What `Points.batches` yields.

    Example:

    >>> shape, batches = with_shape(Points(np.ones((5, 2))).batches(3))
    >>> shape, [len(x) for x, _ in batches]
    ((2,), [3, 2])
    """
    first = next(batches)
    return first[0].shape[1:], itertools.chain([first], batches)


def batch_slices(count, size):
    """Slices that cut so many rows into batches, the last of fewer.

    Example:

    >>> batch_slices(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 6, None)]
    """
    return [slice(start, start + size) for start in range(0, count, size)]


def is_dataset(x):
    """Whether points come from a data set of TensorFlow or Keras, or from PyTorch's `DataLoader`.

    Example:

    >>> is_dataset(np.ones((3, 2))), is_dataset(keras.utils.PyDataset())
    (False, True)
    """
    of_tensorflow = hasattr(x, "element_spec") and hasattr(x, "as_numpy_iterator")
    return isinstance(x, keras.utils.PyDataset) or of_tensorflow or _is_loader(x)


def predict(model, x, batch_size=None, **settings):
    """Calls a model's own `predict`, whatever the number of points.

    Under `keras.distribution` the devices must divide every batch, and Keras fails at a last one
    that they do not, leaving the model without weights. Here that batch is padded with copies of
    the last point, whose outputs are dropped.

    Args:
        model: Keras model.
        x: Array `(n, ...)`, or anything else that `predict` takes; only arrays are padded.
        batch_size: Points at once, rounded up to what the devices divide; Keras's 32 by default.
        **settings: Other arguments of `predict`.

    Returns:
        What `predict` returns.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Rescaling(2.0)])
    >>> predict(model, np.ones((3, 2)), verbose=0).shape
    (3, 2)
    """
    return padded(model.predict, x, batch_size, **settings)


def padded(run, x, batch_size=None, **settings):
    """`predict`, with the method that does it given: see there."""
    if isinstance(x, np.ndarray) and x.ndim and not len(x):
        # Keras fails at a variable that it has not set.
        raise checks.refused("x", "at least one point", "none")
    shards = backend.shards()
    if shards == 1 or not isinstance(x, np.ndarray):
        return run(x, batch_size=batch_size, **settings)
    size = -(-(batch_size or 32) // shards) * shards
    whole = np.concatenate([x, np.repeat(x[-1:], -len(x) % shards, axis=0)])
    outputs = run(whole, batch_size=size, **settings)
    return keras.tree.map_structure(lambda output: output[: len(x)], outputs)


def _unload(x):
    """Takes the pages of a memory map that were read out of the memory of this process."""
    while isinstance(x, np.ndarray) and not isinstance(x, np.memmap):
        x = x.base
    # Where changes go to the file or are none: elsewhere they would be lost.
    if isinstance(x, np.memmap) and x.mode in ("r", "r+") and hasattr(mmap, "MADV_DONTNEED"):
        while isinstance(x, np.ndarray):
            x = x.base
        if isinstance(x, mmap.mmap):
            x.madvise(mmap.MADV_DONTNEED)


def _of_py_dataset(data):
    count = data.num_batches
    if count is None:
        raise checks.refused(
            "x", "a data set that ends", f"a {type(data).__name__} without a length"
        )
    for index in range(count):
        try:
            element = data[index]
        except (IndexError, StopIteration) as error:
            raise _ended(index, count) from error
        if element is None:
            raise _ended(index, count)
        yield _pair(element, index)


def _of_tf_dataset(data):
    count = int(data.cardinality())
    if count == _INFINITE:
        raise checks.refused("x", "a data set that ends", "one that repeats without end")
    # Unknown cardinalities are below infinite ones.
    yield from _counted(data.as_numpy_iterator(), count)


def _is_loader(x):
    """Whether this is a `DataLoader`, known as Keras knows one, whatever framework it runs on."""
    places = {(kind.__name__, kind.__module__.partition(".")[0]) for kind in type(x).__mro__}
    return ("DataLoader", "torch") in places


def _length(loader):
    """How many batches a `DataLoader` says it has; 0 where its data set tells none."""
    try:
        return len(loader)
    except TypeError:
        return 0


def _counted(elements, least):
    """Pairs of batches, of which there must be so many at least."""
    index = 0
    for element in elements:
        yield _pair(element, index)
        index += 1
    if index < least:
        raise _ended(index, least)


def _pair(element, index):
    parts = element if isinstance(element, tuple | list) else (element,)
    x = _only(parts[0], index)
    y = None if len(parts) < 2 or parts[1] is None else _only(parts[1], index)
    if x.ndim == 0 or (y is not None and y.shape[:1] != x.shape[:1]):
        labels = "" if y is None else f" and labels of shape {y.shape}"
        raise checks.refused(
            "x",
            "batches of points, each with as many labels (of a data set of single points, "
            "`.batch(n)`)",
            f"batch {index} with points of shape {x.shape}{labels}",
        )
    return x, y


def _only(named, index):
    """An array, given as such or as the only one in a dictionary by name."""
    if isinstance(named, dict):
        if len(named) != 1:
            raise checks.refused(
                "x", "one array of inputs and one of labels", f"{sorted(named)} in batch {index}"
            )
        (named,) = named.values()
    return np.asarray(keras.ops.convert_to_numpy(named))


def _same_shape(shape, x, seen):
    if shape is not None and x.shape[1:] != shape:
        raise checks.refused(
            "x",
            f"points of one shape, {shape} as the first ones",
            f"shape {x.shape[1:]} from point {seen} on",
        )
    return x.shape[1:]


def _all_or_none(labelled, y):
    if labelled not in (None, y is not None):
        raise checks.refused("x", "labels in every batch or in none", "batches of both kinds")
    return y is not None


def _split(waiting, size):
    """Takes `size` rows off the front of a list of pairs; returns them joined, and the rest."""
    taken, rest = [], []
    for x, y in waiting:
        room = size - sum(len(part) for part, _ in taken)
        if room > 0:
            taken.append((x[:room], None if y is None else y[:room]))
        if len(x) > room:
            rest.append((x[room:], None if y is None else y[room:]))
    if len(taken) == 1:
        return taken[0], rest
    xs, ys = zip(*taken)
    return (np.concatenate(xs), None if ys[0] is None else np.concatenate(ys)), rest


def _ended(index, count):
    return checks.refused(
        "x", f"{count} batches, as the data set says it has", f"the end after {index}"
    )
