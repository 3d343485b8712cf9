"""Proven radii beside the attacked ones, where there are any."""

import numpy as np

from lipot.backend.squashing import final_squashing
from lipot.certificates import holds_within
from lipot.certificates.certificate import prove
from lipot.math.norms import norm_name


def proven_radius(task):
    """Certifies a model's predictions in the norm of an evaluation.

    Args:
        task: The `Task` of the evaluation.

    Returns:
        `(radius, note)`: float64 `(n,)` and how it was proven, or `None` and why it could not be.
    """
    outputs = task.outputs
    if outputs.units == 1 and outputs.kind == "probabilities" and not final_squashing(task.model):
        return None, (
            "Nothing is proven. A certificate is about the sign of the one output, and the "
            "evaluation decides at 0.5: let the model end in a sigmoid."
        )
    try:
        # Not `certify`, which would warn once more of pixels that the task has warned of.
        certificate = prove(task.model, task.x, task.y, task.batch_size, task.norm, {})
    # A model outside what can be proven says so in its own words.
    except (TypeError, ValueError, RuntimeError) as error:
        return None, f"Nothing is proven. {' '.join(str(error).split())}"
    # Of a point that rounding puts on one side here and on the other there nothing is proven.
    same = np.asarray(certificate.predictions) == np.asarray(task.predictions)
    radius = np.where(same, np.asarray(certificate.radius, "float64"), 0.0)
    return radius, f"Proven in {norm_name(task.norm)} from {certificate.proof}."


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
