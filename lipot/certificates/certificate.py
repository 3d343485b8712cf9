"""Certified radii of a classifier's predictions, and the accuracy they prove."""

import dataclasses
import inspect
import math
from typing import Any

import keras
import numpy as np
from keras import ops

from lipot import checks
from lipot.batches import Points, is_dataset
from lipot.certificates.graph import graph_of
from lipot.certificates.head import find_head
from lipot.certificates.node import computed_input_node
from lipot.certificates.radius import radii
from lipot.certificates.shared import by_workers, joined
from lipot.certificates.weights import check_finite

_CERTIFIERS = {}
# Points of a stream that a certifier of its own sees at once.
_CHUNK = 4096


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Certificate:
    """What is proven about a classifier's predictions on some points.

    Attributes:
        radius: `(n,)`, l2 distance up to which, itself included, each prediction cannot change;
            0 where nothing is proven, not even at the point itself.
        predictions: `(n,)`, class numbers; of a model with one output unit 1 where it is
            positive.
        correct: `(n,)`, whether each prediction is the label, or `None` without labels.
        lipschitz: Proven Lipschitz constant of the map to the features before the last layer;
            infinite for a model that has none, such as an `OTAD`.
        rounding: `(n,)`, how much radius floating point took from each point.
        proof: What the radii were proven from, in a few words.
        neighbors: `NeighborRadii` of an `OTAD`, else `None`.
    """

    radius: np.ndarray
    predictions: np.ndarray
    correct: np.ndarray | None
    lipschitz: float
    rounding: np.ndarray
    proof: str = "its Lipschitz constant"
    neighbors: Any = None

    def accuracy(self, eps):
        """Certified accuracy: the share of points that are correct with a proof at `eps`.

        A radius is rounded down, so the closed ball is certified: a point counts where `eps` is
        at most its radius. A radius of 0 is no proof and counts nowhere, so that `accuracy(0.0)`
        is at most the accuracy on the points themselves.

        Args:
            eps: Nonnegative float, or an array of them.

        Returns:
            A float, or an array like `eps`. No l2 attack of size `eps` brings the model's
            accuracy on these points below it.
        """
        eps = np.asarray(eps, "float64")
        if not np.all(eps >= 0.0):
            raise ValueError(
                "Invalid value received for argument `eps`. Expected nonnegative numbers. "
                f"Received: eps={eps}"
            )
        shares = (self._labelled() & holds_within(self.radius, eps[..., None])).mean(axis=-1)
        return shares if shares.ndim else float(shares)

    def plot(self, ax=None, eps=None):
        """Draws certified accuracy against the radius.

        Args:
            ax: Matplotlib axes; new ones by default.
            eps: Radii to draw at; by default up to the largest certified one.

        Returns:
            The axes.
        """
        import matplotlib.pyplot as plt

        if eps is None:
            finite = self.radius[np.isfinite(self.radius)]
            eps = np.linspace(0.0, 1.05 * finite.max(initial=1e-3), 200)
        ax = plt.figure(figsize=(5, 3.2), layout="constrained").gca() if ax is None else ax
        ax.plot(eps, 100.0 * self.accuracy(eps), label="certified")
        ax.set(xlabel="l2 radius", ylabel="certified accuracy (%)", ylim=(0, 100))
        ax.set_xlim(eps[0], eps[-1])
        ax.grid(alpha=0.3)
        return ax

    def summary(self):
        """Describes the certificate in a few lines."""
        certified = self.radius > 0.0
        map_ = f", features {self.lipschitz:.6g}-Lipschitz" if math.isfinite(self.lipschitz) else ""
        lines = [
            f"{len(self.radius)} points{map_}",
            f"radius: median {np.median(self.radius):.4g}, "
            f"mean {np.mean(self.radius):.4g}, largest {np.max(self.radius):.4g}",
            f"certified at some radius: {certified.mean():.2%}",
        ]
        if self.neighbors is not None:
            lines.append(self.neighbors.summary())
        if self.correct is not None:
            lines.append(f"clean accuracy: {self.correct.mean():.2%}")
            lines += [f"certified at {eps:g}: {self.accuracy(eps):.2%}" for eps in self._marks()]
        taken = self.rounding[certified] / (self.radius + self.rounding)[certified]
        if np.any(np.isfinite(taken)):
            lines.append(f"taken by floating point: {np.median(taken[np.isfinite(taken)]):.2%}")
        return "\n".join(lines)

    def __len__(self):
        return len(self.radius)

    def __repr__(self):
        labelled = "" if self.correct is None else f", clean accuracy {self.correct.mean():.2%}"
        return (
            f"<Certificate of {len(self)} points{labelled}, "
            f"median radius {np.median(self.radius):.4g}>"
        )

    def _labelled(self):
        if self.correct is None:
            raise ValueError(
                "Certified accuracy needs labels. Expected certify(model, x, y). Received: y=None"
            )
        return self.correct

    def _marks(self):
        """Quartiles of the radii that prove something, in two digits, whatever their scale."""
        finite = self.radius[(self.radius > 0.0) & np.isfinite(self.radius)]
        if not len(finite):
            return []
        quartiles = np.quantile(finite, [0.25, 0.5, 0.75])
        return list(dict.fromkeys(float(f"{radius:.2g}") for radius in quartiles))


def holds_within(radius, eps):
    """Whether certified radii, rounded down, prove what happens up to the distance `eps`.

    Example:

    >>> holds_within(np.array([0.0, 0.5, 1.0]), 0.5).tolist()
    [False, True, True]
    >>> holds_within(np.array([0.0, 0.5]), 0.0).tolist()
    [False, True]
    """
    radius = np.asarray(radius)
    return (radius > 0.0) & (radius >= eps)


def register_certifier(*model_classes):
    """Teaches `certify` a class of models that have a proof of their own.

    The decorated function receives `(model, x, y, batch_size)` and, as keyword-only arguments
    with defaults, the settings of its own; it returns a `Certificate`.

    Args:
        *model_classes: Classes of Keras models.

    Returns:
        A decorator that returns the function as it is.
    """

    def register(certifier):
        _CERTIFIERS.update(dict.fromkeys(model_classes, certifier))
        return certifier

    return register


def certify(model, x, y=None, batch_size=256, workers=None, **settings):
    r"""Certifies a classifier's predictions against every l2 perturbation of bounded size.

    Where the model is $x \mapsto W g(x) + b$ with $g$ proven $G$-Lipschitz, its prediction
    $i$ at $x$ cannot change within

    $$ \min_j \frac{f_i(x) - f_j(x)}{G\, \|w_i - w_j\|_2}, $$

    or $|f(x)| / (G \|w\|)$ for the sign of one output unit. From this radius is taken what
    floating point can do to the model at `x` and at the perturbed point, so the claim is about
    the predictions the model really computes. An `OTAD` is certified up to where its neighbors
    may change or its logits may cross, whichever is nearer.

    Args:
        model: A built Keras classifier with a graph (see `lipschitz_constant`) whose last layer
            is linear, or linear followed by a softmax or by the sigmoid of one unit; or an
            adapted `OTAD`.
        x: `(n, ...)` array or memory map of finite inputs, or a `tf.data.Dataset` or
            `keras.utils.PyDataset` of batches of them, with or without labels. Beside the
            certificate itself, memory is that of a batch.
        y: Labels: class numbers, one-hot rows, or for one output unit {0, 1} or {-1, 1}. A data
            set brings its own.
        batch_size: Number of points to run at once.
        workers: Number of processes to share the points between, or the address
            `"ray://host:port"` of a Ray cluster (`pip install "lipot[ray]"`); `None` for this
            process alone. The model must load from a `.keras` file there.
        **settings: For an `OTAD`, the Lipschitz constants of parts in which none can be proven,
            or one to use in place of what is: `head_lipschitz` from the features to the outputs,
            `embedding_lipschitz` and `metric_lipschitz` from the inputs; and `spare`, how many
            points beyond the neighbors are looked at one by one (64).

    Returns:
        A `Certificate`.

    Example:

    >>> import keras, lipot, numpy as np
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model.layers[0].set_weights([np.array([[1.0, -1.0], [0.0, 0.0]]), np.zeros(2)])
    >>> certificate = lipot.certify(model, [[3.0, 5.0], [-2.0, 1.0]], [0, 0])
    >>> certificate.radius.round(4).tolist(), certificate.accuracy(1.0)
    ([3.0, 2.0], 0.5)
    """
    known = (c for c in type(model).__mro__ if c in _CERTIFIERS)
    certifier = _CERTIFIERS[next(known, keras.Model)]
    parameters = inspect.signature(certifier).parameters.values()
    names = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    for name in settings:
        if name not in names:
            allowed = f"one of {sorted(names)}" if names else "no further arguments"
            raise ValueError(
                f"Invalid argument `{name}` received. Expected {allowed} for a model of class "
                f"{type(model).__name__}. Received: {name}={settings[name]!r}"
            )
    batch_size = checks.positive_int("batch_size", batch_size)
    if workers is not None:
        return by_workers(certify, model, x, y, batch_size, workers, settings)
    if certifier is not _certify_graph and (is_dataset(x) or isinstance(x, np.memmap)):
        # What a certifier of its own prepares for all points is worth more points than a batch.
        chunks = Points(x, y).batches(max(batch_size, _CHUNK))
        return joined([certifier(model, *chunk, batch_size, **settings) for chunk in chunks])
    return certifier(model, x, y, batch_size, **settings)


def check_inputs(x, expected):
    """Returns inputs as an array of finite numbers of a shape with `None` for any size."""
    x = check_shape(checks.array("x", x, "an array of inputs, such as NumPy's"), expected)
    if x.dtype.kind not in "biuf" or not np.all(np.isfinite(x)):
        bad = "" if x.dtype.kind not in "biuf" else f", {np.sum(~np.isfinite(x))} not finite"
        raise ValueError(
            "Invalid value received for argument `x`. Expected finite numbers. "
            f"Received: dtype {x.dtype}{bad}"
        )
    return x


def check_shape(x, expected):
    """Returns an array, or raises unless its shape fits one with `None` for any size."""
    fits = len(x.shape) == len(expected) and all(
        e in (None, n) for e, n in zip(expected[1:], x.shape[1:])
    )
    if not fits or len(x) == 0:
        raise ValueError(
            f"Invalid value received for argument `x`. Expected at least one sample and shape "
            f"{expected}. Received: shape {x.shape}"
        )
    return x


def features_of(head, x, batch_size):
    """Runs the models before a `Head`'s last layer; returns `(n, m)` in float64."""
    starts = range(0, len(x), batch_size)
    return np.concatenate([_features(head, x[i : i + batch_size]) for i in starts])


@register_certifier(keras.Model)
def _certify_graph(model, x, y, batch_size):
    core = graph_of(model)
    if len(core.inputs) != 1:
        raise ValueError(
            "Invalid value received for argument `model`. Expected a model with one input. "
            f"Received: {len(core.inputs)} inputs"
        )
    expected = tuple(core.inputs[0].shape)
    if not is_dataset(x):
        x = check_shape(checks.array("x", x, "an array of inputs, such as NumPy's"), expected)
    points = Points(x, y if is_dataset(x) else None)
    check_finite(model)
    shape = (None, *points.sample_shape())
    head = find_head(model, [computed_input_node(t, shape) for t in core.inputs])
    units = len(head.bias)
    labels = None if y is None else checks.labels(y, len(x), units)
    parts, given = [], []
    for batch, truth in points.batches(batch_size):
        parts.append(_certify_batch(head, check_inputs(batch, expected)))
        given.append(truth)
    radius, predictions, rounding = (np.concatenate(column) for column in zip(*parts))
    if given[0] is not None:
        labels = checks.labels(np.concatenate(given), len(radius), units)
    correct = None if labels is None else predictions == labels
    return Certificate(radius, predictions, correct, head.node.lipschitz, rounding)


def _certify_batch(head, x):
    """Radii, predictions and rounding of some points."""
    norms = np.linalg.norm(x.reshape(len(x), -1).astype("float64"), axis=1)
    found = radii(head, features_of(head, x, len(x)), norms)
    binary = len(head.bias) == 1
    predictions = (found.logits[:, 0] > 0).astype(int) if binary else found.logits.argmax(axis=1)
    return found.radius, predictions, found.rounding


def _features(head, batch):
    for part in head.features:
        batch = part(batch, training=False)
    # NumPy has no bfloat16; the features of a model in float64 must stay as they are.
    wide = keras.backend.result_type(batch.dtype, "float32")
    return ops.convert_to_numpy(ops.cast(batch, wide)).astype("float64")
