"""Proven radii beside the attacked ones, where there are any."""

import numpy as np

from lipot.certificates import certify, holds_within
from lipot.math.norms import norm_name


def proven_radius(model, x, y, norm):
    """Certifies a model's predictions in the norm of an evaluation.

    Args:
        model: Keras classifier.
        x: Points `(n, ...)`.
        y: Class numbers `(n,)`.
        norm: `2` or `"inf"`.

    Returns:
        `(radius, note)`: float64 `(n,)` and how it was proven, or `None` and why it could not be.
    """
    try:
        certificate = certify(model, x, y, norm=norm)
    # A model outside what can be proven says so in its own words.
    except (TypeError, ValueError, RuntimeError) as error:
        return None, f"Nothing is proven. {' '.join(str(error).split())}"
    radius = np.asarray(certificate.radius, "float64")
    return radius, f"Proven in {norm_name(norm)} from {certificate.proof}."


def check_against(radius, broken_by, eps, attacks):
    """Raises where an attack broke a point inside its proven radius, which cannot be.

    Args:
        radius: Proven radii `(n,)`.
        broken_by: Dictionary from radius to array, as in `Evaluation`.
        eps: Attack radii.
        attacks: Their names.
    """
    for size in eps:
        contradicted = np.flatnonzero((broken_by[size] >= 0) & holds_within(radius, size))
        if len(contradicted):
            point = contradicted[0]
            raise RuntimeError(
                f"A certificate is wrong: point {point} is proven to keep its class up to "
                f"{radius[point]:.6g}, but {attacks[broken_by[size][point]]} broke it within "
                f"{size:g}; {len(contradicted)} points in all. Do not trust the certified "
                "accuracy of this model, and please report it."
            )
