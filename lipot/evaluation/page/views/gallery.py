"""The gallery: images, what an attack adds to them, and what would really be another class."""

import dataclasses

import numpy as np

from lipot.certificates import certify
from lipot.evaluation.page.views.counterfactual import step_across, walk_across
from lipot.evaluation.page.views.subject import lengths, telling_rows
from lipot.evaluation.record.view import DoesNotApply, View

_SHOWN = 6
# Above 1 by what training and float32 leave of an orthonormal kernel.
_ONE_LIPSCHITZ = 1.01


@dataclasses.dataclass(frozen=True, eq=False)
class Gallery(View):
    """Some images in three states, and what the network sees in each.

    Attributes:
        clean: Images `(n, rows, columns, channels)`.
        adversarial: The same after the attack.
        counterfactual: The same moved to another class.
        labels: Class numbers `(n,)`.
        seen_clean: Predicted class numbers of `clean`.
        seen_adversarial: Of `adversarial`.
        seen_counterfactual: Of `counterfactual`.
        distances: l2 length of the change to the counterfactual, `(n,)`.
        low: Least value of a pixel.
        high: Greatest value of a pixel.
        counterfactual_is: How the counterfactuals were made, in one sentence.
    """

    clean: np.ndarray
    adversarial: np.ndarray
    counterfactual: np.ndarray
    labels: np.ndarray
    seen_clean: np.ndarray
    seen_adversarial: np.ndarray
    seen_counterfactual: np.ndarray
    distances: np.ndarray
    low: float
    high: float
    counterfactual_is: str


def gallery(subject):
    """Makes the `Gallery` of a `Subject` of images."""
    as_images(subject.x[:1])
    chosen = subject.take(telling_rows(subject, _SHOWN))
    found, how = _counterfactuals(chosen)
    ends = subject.clip_values or (float(subject.x.min()), float(subject.x.max()))
    return Gallery(
        clean=as_images(chosen.x),
        adversarial=as_images(chosen.x_adv),
        counterfactual=as_images(found.moved),
        labels=np.asarray(chosen.y, "int32"),
        seen_clean=chosen.logits.argmax(axis=1).astype("int32"),
        seen_adversarial=chosen.logits_adv.argmax(axis=1).astype("int32"),
        seen_counterfactual=found.after.astype("int32"),
        distances=lengths(found.moved - chosen.x).reshape(-1),
        low=float(np.min(ends[0])),
        high=float(np.max(ends[1])),
        counterfactual_is=how,
    )


def as_images(x):
    """Returns a batch as `(n, rows, columns, channels)` with 1 or 3 channels, last.

    Raises:
        DoesNotApply: The inputs are no images.

    Example:

    >>> as_images(np.zeros((2, 3, 8, 8))).shape
    (2, 8, 8, 3)
    """
    if x.ndim == 4 and x.shape[-1] in (1, 3):
        return x
    if x.ndim == 4 and x.shape[1] in (1, 3):
        return np.moveaxis(x, 1, -1)
    if x.ndim == 3 and min(x.shape[1:]) > 3:
        return x[..., np.newaxis]
    raise DoesNotApply(
        "There is no gallery: it shows images of one or three channels, and an input here has "
        f"the shape {x.shape[1:]}."
    )


def _counterfactuals(subject):
    if _is_one_lipschitz(subject.model, subject.x[:1]):
        how = (
            "The network is 1-Lipschitz: the counterfactual is one step along its gradient, by "
            "twice the distance to the nearest decision that the outputs state."
        )
        return step_across(subject.target, subject.x), how
    how = (
        "The counterfactual was walked to along the gradient until the network was as sure of "
        "another class as it had been of the first, however far that is."
    )
    attacked = lengths(subject.x_adv - subject.x).reshape(-1)
    spread = np.sqrt(subject.x[0].size) * float(np.std(subject.x))
    step = np.maximum(attacked / 8.0, spread / 100.0)
    found = walk_across(subject.target, subject.x, step, clip_values=subject.clip_values)
    return found, how


def _is_one_lipschitz(model, sample):
    try:
        return certify(model, sample).lipschitz <= _ONE_LIPSCHITZ
    except ValueError:
        # A model that cannot be certified is not known to be 1-Lipschitz.
        return False
