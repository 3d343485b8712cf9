"""Training points as they are stored: flat, finite, in float32, each once."""

import hashlib
import math

import numpy as np
from keras import ops

from lipot import checks


def training_points(batch):
    """Returns a batch of training points as float32, or raises for what is none."""
    batch = checks.array("x", batch, "an array of training points")
    if batch.dtype.kind not in "biuf":
        raise checks.refused("x", "training points of numbers", f"dtype {batch.dtype}")
    if batch.ndim < 2:
        raise checks.refused("x", "training points of shape (n, ...)", f"shape {batch.shape}")
    batch = batch.astype("float32", copy=False)
    if wrong := np.sum(~np.isfinite(batch)):
        raise checks.refused(
            "x", "finite training points", f"{wrong} NaN or infinite values in a batch, as float32"
        )
    return batch


def as_float(inputs):
    """Returns inputs of any number type in the one that a `NeighborModel` computes in."""
    return ops.cast(ops.convert_to_tensor(inputs), "float32")


def flat(values):
    """Returns values as one row for each point, `(n, ...) -> (n, d)`."""
    return ops.reshape(values, (ops.shape(values)[0], -1))


def flat_rows(values):
    """Flat float32 rows of a tensor, as an array."""
    values = ops.convert_to_numpy(values)
    return values.reshape(len(values), math.prod(values.shape[1:])).astype("float32")


def unseen(batch, seen):
    """Rows that are in no batch before, nor above in this one; adds them to what was seen.

    Args:
        batch: Float32 array `(n, ...)`.
        seen: Set of the rows before, changed in place.

    Returns:
        List of row numbers.

    Example:

    >>> seen = set()
    >>> unseen(np.ones((2, 3), "float32"), seen), unseen(np.ones((1, 3), "float32"), seen)
    ([0], [])
    """
    places = []
    # Of the two zeros one, since bytes are compared.
    for place, row in enumerate(np.ascontiguousarray(batch + np.float32(0.0))):
        key = hashlib.blake2b(row, digest_size=16).digest()
        if key not in seen:
            seen.add(key)
            places.append(place)
    return places


def squared_norms(rows):
    """Squared norm of every row, added up in float64."""
    return np.einsum("nd,nd->n", rows, rows, dtype="float64")
