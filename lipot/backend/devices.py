"""Replicas, workers and devices that share a batch."""

from lipot.backend.running import engine


def sum_over_replicas(tensor):
    """Adds a tensor up over the replicas of the running `tf.distribute` strategy.

    Args:
        tensor: Tensor that exists on each replica, such as the class counts of its share.

    Returns:
        The sum on every replica, cut from differentiation; `tensor` itself, cut likewise, outside
        a replica, and on JAX and PyTorch (JAX programs see the whole batch however it is sharded).
    """
    return engine.sum_over_replicas(tensor)


def gather_over_replicas(tensor):
    """Joins the rows of a tensor over the replicas of the running `tf.distribute` strategy.

    Args:
        tensor: Tensor `(rows, ...)` that exists on each replica, with any number of rows.

    Returns:
        The rows of all replicas on every replica, in their order. The gradient of a row comes
        back to the replica that it is from, added up over all. `tensor` itself outside a replica,
        and on JAX and PyTorch.
    """
    return engine.gather_over_replicas(tensor)


def replica():
    """Which replica of a `tf.distribute` strategy runs this code: `Replica(index, count)`.

    It is `Replica(0, 1)` outside one, and on JAX and PyTorch: JAX programs see the whole batch
    however it is sharded.
    """
    return engine.replica()


def replicas_take_turns():
    """A context for what has the replicas of a `tf.distribute` strategy wait for each other.

    Each replica is traced in a thread of its own, up to where it waits. Keras keeps the losses of
    `add_loss` on the layers, which all replicas share: the next one replaces them. Behind the
    context those of this replica are back. `sum_over_replicas` and `gather_over_replicas` need no
    context around them.
    """
    return engine.replicas_take_turns()


def devices_scope(count):
    """Scope of a `tf.distribute.MirroredStrategy` over the first devices of this machine.

    Args:
        count: Number of devices: GPUs where there are any, else what TensorFlow takes a processor
            for.

    Raises:
        ValueError: If there are fewer, or the backend is not TensorFlow.
    """
    return engine.devices_scope(count)


def worker():
    """Number of this process among those that share the strategy in whose scope it is.

    It is `None` where there are no others, as on JAX and PyTorch.
    """
    return engine.worker()


def shards():
    """Over how many devices `keras.distribution` spreads a batch, which they must divide.

    It is 1 without a distribution, and on TensorFlow and PyTorch.
    """
    return engine.shards()


def row_shards(variable):
    """Over how many devices `keras.distribution` spreads the rows of a variable.

    It is 1 without a distribution, and on TensorFlow and PyTorch.
    """
    return engine.row_shards(variable)


def accelerators():
    """Kinds of the devices that the backend computes on and that are no processors: `["gpu"]`."""
    # PyTorch's shapes without values are on a device of that name.
    return sorted(engine.devices() - {"cpu", "meta"})


def has_accelerator():
    """Whether the backend computes on something that is no processor, such as a GPU."""
    return bool(accelerators())
