"""Accuracy of every class: clean, under attack, certified."""

import dataclasses

import numpy as np

from lipot.attacks.auto_attack import STANDS
from lipot.certificates import holds_within
from lipot.evaluation.record.view import View


@dataclasses.dataclass(frozen=True, eq=False)
class PerClass(View):
    """Shares of the points of each class.

    Attributes:
        classes: Class numbers `(c,)`, those that occur.
        points: How many points each has.
        clean: Share that is classified rightly.
        attacked: Share that stands under every attack.
        certified: Share that is proven to stand, or `None` where nothing is certified.
        eps: Radius of attack and proof.
    """

    classes: np.ndarray
    points: np.ndarray
    clean: np.ndarray
    attacked: np.ndarray
    certified: np.ndarray | None
    eps: float


def per_class(evaluation, eps):
    """Breaks an `Evaluation` down by class, at one of its radii.

    Args:
        evaluation: A `lipot.evaluation` record of one model.
        eps: One of `evaluation.eps`.

    Returns:
        `PerClass`.
    """
    labels = np.asarray(evaluation.labels)
    right = np.asarray(evaluation.predictions) == labels
    stands = np.asarray(evaluation.broken_by[eps]) == STANDS
    radius = evaluation.certified_radius
    proven = None if radius is None else right & holds_within(radius, eps)
    classes, rows, points = np.unique(labels, return_inverse=True, return_counts=True)

    def shares(held):
        return np.bincount(rows, weights=held, minlength=len(classes)) / points

    return PerClass(
        classes=classes,
        points=points,
        clean=shares(right),
        attacked=shares(stands),
        certified=None if proven is None else shares(proven),
        eps=float(eps),
    )
