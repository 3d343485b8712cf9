"""Distances, and the way back into a ball, in the arithmetic that the claim is about."""

import math

import numpy as np

from lipot.math.rounding import SINGLE


def distances(x_adv, x, norm):
    """Distance of each point to its origin, in float64: `(n, ...), (n, ...) -> (n,)`."""
    shift = _flat(x_adv.astype("float64") - x.astype("float64"))
    if norm == "inf":
        return np.max(np.abs(shift), axis=1)
    return np.linalg.norm(shift, axis=1)


def project(x_adv, x, eps, norm, clip_values):
    """Moves points into the ball around their origin and into the range of the data.

    No tolerance is granted: what rounding to float32 can add is taken off the radius first, so
    that the distance of the result, in exact arithmetic, is at most `eps`.

    Args:
        x_adv: Float32 array `(n, ...)`.
        x: Origins, float32, in the range.
        eps: Radius.
        norm: `2` or `"inf"`.
        clip_values: Pair of floats.

    Returns:
        Float32 array shaped like `x`.
    """
    origin = x.astype("float64")
    shift = x_adv.astype("float64") - origin
    rows = (len(x), *[1] * (x.ndim - 1))
    flat = np.abs(_flat(origin))
    # Each coordinate of the result is rounded once, by at most its size times the roundoff.
    size = flat.max(axis=1) if norm == "inf" else np.linalg.norm(flat, axis=1)
    radius = np.maximum(eps - SINGLE * (size + eps) * (1 + 1e-6), 0.0).reshape(rows)
    if norm == "inf":
        shift = np.clip(shift, -radius, radius)
    else:
        length = np.linalg.norm(_flat(shift), axis=1).reshape(rows)
        shift = shift * (radius / np.maximum(length, radius + 1e-300))
    # Towards the origin in every coordinate, so the distance only shrinks.
    return np.clip((origin + shift).astype("float32"), *np.float32(clip_values))


def _flat(x):
    # Not -1: an empty batch has no size to divide.
    return x.reshape(len(x), math.prod(x.shape[1:]))
