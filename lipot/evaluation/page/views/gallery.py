"""The gallery: images, what an attack adds to them, and what would really be another class."""

import dataclasses

import numpy as np

from lipot.certificates.certificate import prove
from lipot.evaluation.page.images import change, picture
from lipot.evaluation.page.section import Cell, Section
from lipot.evaluation.page.views.counterfactual import step_across, walk_across
from lipot.evaluation.page.views.spec import ViewSpec
from lipot.evaluation.page.views.subject import lengths, telling_rows
from lipot.evaluation.record.view import DoesNotApply, View
from lipot.math.norms import norm_name, order
from lipot.math.proportions import in_percent

_SHOWN = 6
# Above 1 by what training and float32 leave of an orthonormal kernel.
_ONE_LIPSCHITZ = 1.01
# Between a number and what belongs to it, where no line of a narrow caption may end.
_GLUE = "\u00a0"


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
        attacks: Name of the attack that broke each, empty where none did.
        attack_distances: Size of the change by the attack, in its norm, `(n,)`.
        confidences: Probability that the network gives to the class it sees in the clean image,
            `(n,)`: the softmax of its logits.
        confidences_adversarial: To the class it sees in the attacked one.
        distances: l2 length of the change to the counterfactual, `(n,)`.
        low: Least value of a pixel.
        high: Greatest value of a pixel.
        norm: Norm of the attack, `2` or `"inf"`.
        counterfactual_is: How the counterfactuals were made, in one sentence.
    """

    clean: np.ndarray
    adversarial: np.ndarray
    counterfactual: np.ndarray
    labels: np.ndarray
    seen_clean: np.ndarray
    seen_adversarial: np.ndarray
    seen_counterfactual: np.ndarray
    attacks: tuple
    attack_distances: np.ndarray
    confidences: np.ndarray
    confidences_adversarial: np.ndarray
    distances: np.ndarray
    low: float
    high: float
    norm: int | str
    counterfactual_is: str


def compute(subject):
    """Makes the `Gallery` of a `Subject` of images."""
    as_images(subject.x[:1])
    chosen = subject.take(telling_rows(subject, _SHOWN))
    found, how = _counterfactuals(chosen)
    changes = (chosen.x_adv - chosen.x).reshape(len(chosen.x), -1)
    return Gallery(
        clean=as_images(chosen.x),
        adversarial=as_images(chosen.x_adv),
        counterfactual=as_images(found.moved),
        labels=np.asarray(chosen.y, "int32"),
        seen_clean=chosen.logits.argmax(axis=1).astype("int32"),
        seen_adversarial=chosen.logits_adv.argmax(axis=1).astype("int32"),
        seen_counterfactual=found.after.astype("int32"),
        attacks=tuple(map(str, chosen.attacks)),
        attack_distances=np.linalg.norm(changes, ord=order(subject.norm), axis=1),
        confidences=_confidences(chosen.logits),
        confidences_adversarial=_confidences(chosen.logits_adv),
        distances=lengths(found.moved - chosen.x).reshape(-1),
        low=subject.clip_values[0],
        high=subject.clip_values[1],
        norm=subject.norm,
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


def _confidences(logits):
    """Probability of the likeliest class of each row: the largest softmax."""
    shifted = logits.astype("float64") - logits.max(axis=1, keepdims=True)
    return 1.0 / np.exp(shifted).sum(axis=1)


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
        return prove(model, sample, None, len(sample), 2, {}).lipschitz <= _ONE_LIPSCHITZ
    except ValueError:
        # A model that cannot be certified is not known to be 1-Lipschitz.
        return False


def section(view, prefix):
    """Returns the `Section` that shows it; `prefix` starts every id."""
    text = (
        "Each row: an image, what the attack adds to it (magnified), with the attack and how far "
        "it went, the two together, and the counterfactual with its distance: how much must "
        "change before the network means another class. Percentages: how sure the network is, by "
        "the softmax of its outputs. "
        f"{view.counterfactual_is}"
    )
    if view.clean.shape[-1] == 1:
        text += " In the change, blue is more and red is less."
    return Section(text, examples=tuple(_examples(view)))


def _examples(view):
    changes = view.adversarial - view.clean
    reach = float(np.abs(changes).max())
    for row, label in enumerate(view.labels):
        seen, attacked, other = (
            int(numbers[row])
            for numbers in (view.seen_clean, view.seen_adversarial, view.seen_counterfactual)
        )
        sure, sure_after = (
            _in_words(shares[row]) for shares in (view.confidences, view.confidences_adversarial)
        )
        attack, far = _attack(view, row), f"l2{_GLUE}{view.distances[row]:.2f}"
        yield (
            Cell(
                picture(view.clean[row], view.low, view.high),
                f"Image of class {label}, seen as {seen} with confidence {sure}",
                f"{label}, seen as {seen}, {sure}",
            ),
            Cell(change(changes[row], reach), f"What the attack changes in it: {attack}", attack),
            Cell(
                picture(view.adversarial[row], view.low, view.high),
                f"The image under attack, seen as {attacked} with confidence {sure_after}",
                f"seen as {attacked}, {sure_after}",
            ),
            Cell(
                picture(view.counterfactual[row], view.low, view.high),
                f"The counterfactual, at a distance of {far}, seen as {other}",
                f"seen as {other}, {far}",
            ),
        )


def _in_words(confidence):
    """A confidence in whole percent; 100 only where nothing is missing.

    Example:

    >>> _in_words(0.42), _in_words(1.0 - 1e-12)
    ('42\\xa0%', 'over 99\\xa0%')
    """
    # All the nines that a softmax comes near to one by would break the caption.
    shown = "over 99" if 0.995 <= confidence < 1.0 else in_percent(confidence, 0)
    return f"{shown}{_GLUE}%"


def _attack(view, row):
    if not view.attack_distances[row]:
        return "no attack broke it"
    size = f"{norm_name(view.norm)}{_GLUE}{view.attack_distances[row]:.2g}"
    return f"{view.attacks[row]}, {size}" if view.attacks[row] else size


SPEC = ViewSpec("gallery", "What the attack does, and what it would take", compute, section)
