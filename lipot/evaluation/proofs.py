"""Proven radii beside the attacked ones, where there are any."""

import numpy as np

from lipot.certificates import certify
from lipot.models import OTAD


def proven_radius(model, x, y, norm):
    """Certifies a model's predictions in the norm of an evaluation.

    Args:
        model: Keras classifier; an `OTAD` is asked for its own certificate.
        x: Points `(n, ...)`.
        y: Class numbers `(n,)`.
        norm: `2` or `"inf"`.

    Returns:
        `(radius, note)`: float64 `(n,)` and how it was proven, or `None` and why it could not be.
    """
    try:
        own = isinstance(model, OTAD)
        radius = (model.certify(x) if own else certify(model, x, y)).radius
    # A model outside what can be proven, or not yet adapted, says so in its own words.
    except (TypeError, ValueError, RuntimeError) as error:
        return None, f"Nothing is proven. {' '.join(str(error).split())}"
    radius = np.asarray(radius, "float64")
    how = "the model's own certificate" if own else "its Lipschitz constant"
    if norm == 2:
        return radius, f"Proven in l2 from {how}."
    # |d|_2 <= sqrt(dimension) |d|_inf
    dimension = int(np.prod(x.shape[1:]))
    note = f"Proven in l2 from {how}; divided by sqrt({dimension}) for l-inf."
    return radius / np.sqrt(dimension), note


def check_against(radius, broken_by, eps, attacks):
    """Raises where an attack broke a point inside its proven radius, which cannot be.

    Args:
        radius: Proven radii `(n,)`.
        broken_by: Dictionary from radius to array, as in `Evaluation`.
        eps: Attack radii.
        attacks: Their names.
    """
    for size in eps:
        contradicted = np.flatnonzero((broken_by[size] >= 0) & (radius > size))
        if len(contradicted):
            point = contradicted[0]
            raise RuntimeError(
                f"A certificate is wrong: point {point} is proven to keep its class up to "
                f"{radius[point]:.6g}, but {attacks[broken_by[size][point]]} broke it within "
                f"{size:g}; {len(contradicted)} points in all. Do not trust the certified "
                "accuracy of this model, and please report it."
            )
