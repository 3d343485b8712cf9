"""A batch spread over replicas: its rows, means and random numbers as one device has them."""

from keras import ops

from lipot import backend
from lipot.math.gradients import straight_through


def gather(rows):
    """Joins the rows that the replicas of the running strategy hold, in the order of the replicas.

    Args:
        rows: Tensor `(batch, ...)`, a share of the global batch. Shares may differ in length.

    Returns:
        Tensor `(global batch, ...)`, on every replica; `rows` itself where there is one replica.
        Its gradient comes back to the replica that each row is from.
    """
    return backend.gather_over_replicas(rows) if backend.replica().count > 1 else rows


def own(whole, count):
    """Takes this replica's rows out of what every replica computed of the global batch.

    Args:
        whole: Tensor `(global batch, ...)`, in the order of `gather`.
        count: Number of rows of this replica.

    Returns:
        Tensor `(count, ...)`.
    """
    if backend.replica().count == 1:
        return whole
    first, _ = _place(count)
    return whole[first : first + count]


def draw(rows, count):
    """Draws this replica's rows of what one device would draw for the global batch.

    Replicas hold the same random state. Each would draw the same numbers for its share; here each
    draws those of all and keeps its own, so that a training depends on its seed alone and not on
    the number of devices.

    Args:
        rows: Callable from a number of rows to a tensor of so many.
        count: Number of rows of this replica.

    Returns:
        Tensor `(count, ...)`.

    Example:

    >>> from keras import ops
    >>> [float(number) for number in draw(lambda n: ops.arange(float(n)), 3)]
    [0.0, 1.0, 2.0]
    """
    if backend.replica().count == 1:
        return rows(count)
    first, total = _place(count)
    return rows(total)[first : first + count]


def even(share):
    """Gives every replica the mean of all shares as a value, with the gradient of its own share.

    The shares of a loss add up to the loss of the global batch. Evened, they still do, and each
    times the number of replicas is that loss, which is what Keras shows.

    Args:
        share: Scalar tensor.

    Returns:
        Scalar tensor; `share` itself where there is one replica.
    """
    count = backend.replica().count
    return share if count == 1 else _with_value(share, backend.sum_over_replicas(share) / count)


def total(share):
    """Gives every replica the sum of all shares as a value, with the gradient of its own share.

    Args:
        share: Scalar tensor.

    Returns:
        Scalar tensor; `share` itself where there is one replica.
    """
    if backend.replica().count == 1:
        return share
    return _with_value(share, backend.sum_over_replicas(share))


def mean(values, weights=None):
    """This replica's share of the mean over the global batch.

    Args:
        values: Tensor `(batch, ...)`.
        weights: Optional tensor shaped like `values`, whose sum over all replicas divides;
            where that is 0, nothing does.

    Returns:
        Scalar tensor. The shares add up to the mean, and so do their gradients, even where the
        replicas hold different numbers of rows.

    Example:

    >>> from keras import ops
    >>> float(mean(ops.array([1.0, 4.0]), ops.array([1.0, 0.5])))
    2.0
    """
    weights = ops.ones_like(values) if weights is None else weights
    divisor = backend.sum_over_replicas(ops.sum(weights))
    return ops.sum(values * weights) / ops.where(divisor > 0.0, divisor, 1.0)


def _with_value(share, value):
    return straight_through(value, share)


def _place(count):
    """Where this replica's rows start in the global batch, and how many that has."""
    counts = backend.gather_over_replicas(ops.reshape(ops.cast(count, "int32"), (1,)))
    before = ops.arange(ops.shape(counts)[0]) < backend.replica().index
    return ops.sum(ops.where(before, counts, 0)), ops.sum(counts)
