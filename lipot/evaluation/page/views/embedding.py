"""Where clean and attacked points lie in the space of the features."""

import dataclasses

import numpy as np

from lipot.evaluation.page.prose import percent
from lipot.evaluation.page.section import Drawing, Section
from lipot.evaluation.page.svg import drawing
from lipot.evaluation.page.views.hidden import features
from lipot.evaluation.page.views.spec import ViewSpec
from lipot.evaluation.record.palette import SERIES
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


def compute(subject):
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


def section(view, prefix):
    """Returns the `Section` that shows it; `prefix` starts every id."""
    both = np.concatenate([view.clean, view.adversarial])
    margin = 0.04 * np.ptp(both, axis=0) + 1e-6
    limits = list(zip(both.min(axis=0) - margin, both.max(axis=0) + margin))
    drawings = []
    for name, points, right in (
        ("clean", view.clean, view.right),
        ("under attack", view.adversarial, view.right_adversarial),
    ):
        svg = _draw_embedding(f"{prefix}-{name[:5]}", points, view.labels, right, limits)
        caption = f"{name}: {percent(right.mean())} right"
        drawings.append(Drawing(svg, f"Features of the points {caption}.", caption))
    text = (
        f"The features before the last layer, in a plane ({view.method}), the same for clean and "
        "attacked points. Colours are classes; a cross is a point the network gets wrong."
    )
    numbers = np.unique(view.labels)
    key = tuple((f"var(--series-{n % len(SERIES)})", f"class {n}") for n in numbers)
    return Section(text, tuple(drawings), key, panels=True)


def _draw_embedding(name, points, labels, right, limits):
    """Points in a plane, coloured by class, with crosses where the network is wrong."""

    def draw(axes):
        for number in np.unique(labels):
            color = SERIES[number % len(SERIES)]
            for chosen, marker, size in ((right, "o", 2.6), (~right, "x", 4.5)):
                rows = (labels == number) & chosen
                axes.plot(*points[rows].T, marker, color=color, markersize=size, alpha=0.85)
        axes.set(xticks=(), yticks=(), xlim=limits[0], ylim=limits[1])
        axes.spines[:].set_visible(True)

    return drawing(name, 3.2, 3.0, draw)


SPEC = ViewSpec("embedding", "The points as the last layer sees them", compute, section)
