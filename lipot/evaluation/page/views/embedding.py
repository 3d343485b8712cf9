"""Where clean and attacked points lie in the space of the features."""

import dataclasses

import numpy as np

from lipot.evaluation.page.views.hidden import features
from lipot.evaluation.record.view import DoesNotApply, View

_POINTS = 250
# Fewer points than a few neighborhoods have no manifold for t-SNE to unfold.
_FEWEST_FOR_TSNE = 30


@dataclasses.dataclass(frozen=True, eq=False)
class Embedding(View):
    """Features of clean and attacked points in one plane.

    Attributes:
        method: How the plane was found: `"t-SNE"`, `"PCA"`, or `"the features themselves"`.
        clean: `(n, 2)`.
        adversarial: `(n, 2)`, the same points after the attack.
        labels: Class numbers `(n,)`.
        right: Whether each clean point is classified rightly.
        right_adversarial: Whether each attacked point is.

    Reference:
        OT-Classifier, figure 5.
    """

    method: str
    clean: np.ndarray
    adversarial: np.ndarray
    labels: np.ndarray
    right: np.ndarray
    right_adversarial: np.ndarray


def embedding(subject):
    """Makes the `Embedding` of a `Subject`."""
    subject = subject.take(slice(_POINTS))
    if len(subject.x) < 2:
        raise DoesNotApply("There is no plane to draw: it takes two points or more.")
    values = [features(subject.model, x).values for x in (subject.x, subject.x_adv)]
    method, plane = _plane(np.concatenate(values).reshape(2 * len(subject.x), -1), subject.seed)
    clean, adversarial = np.split(plane.astype("float32"), 2)
    return Embedding(
        method=method,
        clean=clean,
        adversarial=adversarial,
        labels=np.asarray(subject.y, "int32"),
        right=subject.right,
        right_adversarial=subject.right_adv,
    )


def _plane(values, seed):
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if values.shape[1] == 1:
        return "the features themselves", np.hstack([values, np.zeros_like(values)])
    if values.shape[1] == 2:
        return "the features themselves", values
    if len(values) < 2 * _FEWEST_FOR_TSNE:
        return "PCA", PCA(2, random_state=seed).fit_transform(values)
    perplexity = min(30, len(values) // 4)
    # So few points gain nothing from threads, and lose much where others use the cores.
    with threadpool_limits(1):
        return "t-SNE", TSNE(random_state=seed, perplexity=perplexity).fit_transform(values)
