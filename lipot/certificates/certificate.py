"""Certified radii of a classifier's predictions, and the accuracy they prove."""

import keras
import numpy as np
from keras import ops

from lipot import checks
from lipot.certificates.graph import graph_of
from lipot.certificates.head import find_head
from lipot.certificates.node import computed_input_node
from lipot.certificates.radius import radii
from lipot.certificates.weights import check_finite


class Certificate:
    """What is proven about a classifier's predictions on some points.

    Attributes:
        radius: `(n,)`, l2 distance up to which each prediction cannot change; 0 where nothing
            is proven.
        predictions: `(n,)`, class numbers; of a model with one output unit 1 where it is
            positive.
        correct: `(n,)`, whether each prediction is the label, or `None` without labels.
        lipschitz: Proven Lipschitz constant of the map to the features before the last layer.
        rounding: `(n,)`, how much radius floating point took from each point.
    """

    def __init__(self, radius, predictions, correct, lipschitz, rounding):
        self.radius = radius
        self.predictions = predictions
        self.correct = correct
        self.lipschitz = lipschitz
        self.rounding = rounding

    def accuracy(self, eps):
        """Certified accuracy: the share of points that are correct with a radius above `eps`.

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
        proven = np.where(self._labelled(), self.radius, -1.0)
        shares = (proven > eps[..., None]).mean(axis=-1)
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
        lines = [
            f"{len(self.radius)} points, features {self.lipschitz:.6g}-Lipschitz",
            f"radius: median {np.median(self.radius):.4g}, "
            f"mean {np.mean(self.radius):.4g}, largest {np.max(self.radius):.4g}",
            f"certified at some radius: {certified.mean():.2%}",
        ]
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
        return [0.25, 0.5, 1.0, 1.58] if np.median(self.radius) > 0.05 else [8 / 255, 36 / 255]


def certify(model, x, y=None, batch_size=256):
    r"""Certifies a classifier's predictions against every l2 perturbation of bounded size.

    Where the model is $x \mapsto W g(x) + b$ with $g$ proven $G$-Lipschitz, its prediction
    $i$ at $x$ cannot change within

    $$ \min_j \frac{f_i(x) - f_j(x)}{G\, \|w_i - w_j\|_2}, $$

    or $|f(x)| / (G \|w\|)$ for the sign of one output unit. From this radius is taken what
    floating point can do to the model at `x` and at the perturbed point, so the claim is about
    the predictions the model really computes.

    Args:
        model: A built Keras classifier with a graph (see `lipschitz_constant`) whose last layer
            is linear, or linear followed by a softmax or by the sigmoid of one unit.
        x: `(n, ...)` array of finite inputs.
        y: Labels: class numbers, one-hot rows, or for one output unit {0, 1} or {-1, 1}.
        batch_size: Number of points to run at once.

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
    x = _checked_inputs(graph_of(model), x)
    check_finite(model)
    batch_size = checks.positive_int("batch_size", batch_size)
    inputs = [computed_input_node(t, (None, *x.shape[1:])) for t in graph_of(model).inputs]
    head = find_head(model, inputs)
    labels = None if y is None else checks.labels(y, len(x), len(head.bias))
    features = np.concatenate(
        [_features(head, x[i : i + batch_size]) for i in range(0, len(x), batch_size)]
    )
    norms = np.linalg.norm(x.reshape(len(x), -1).astype("float64"), axis=1)
    found = radii(head, features, norms)
    binary = len(head.bias) == 1
    predictions = (found.logits[:, 0] > 0).astype(int) if binary else found.logits.argmax(axis=1)
    correct = None if labels is None else predictions == labels
    return Certificate(found.radius, predictions, correct, head.node.lipschitz, found.rounding)


def _features(head, batch):
    for part in head.features:
        batch = part(batch, training=False)
    # NumPy has no bfloat16; the features of a model in float64 must stay as they are.
    wide = keras.backend.result_type(batch.dtype, "float32")
    return ops.convert_to_numpy(ops.cast(batch, wide)).astype("float64")


def _checked_inputs(core, x):
    x = np.asarray(x)
    if len(core.inputs) != 1:
        raise ValueError(
            "Invalid value received for argument `model`. Expected a model with one input. "
            f"Received: {len(core.inputs)} inputs"
        )
    expected = tuple(core.inputs[0].shape)
    fits = len(x.shape) == len(expected) and all(
        e in (None, n) for e, n in zip(expected[1:], x.shape[1:])
    )
    if not fits or len(x) == 0:
        raise ValueError(
            f"Invalid value received for argument `x`. Expected at least one sample and shape "
            f"{expected}. Received: shape {x.shape}"
        )
    if x.dtype.kind not in "biuf" or not np.all(np.isfinite(x)):
        bad = "" if x.dtype.kind not in "biuf" else f", {np.sum(~np.isfinite(x))} not finite"
        raise ValueError(
            "Invalid value received for argument `x`. Expected finite numbers. "
            f"Received: dtype {x.dtype}{bad}"
        )
    return x
