"""Certified radii of a classifier's predictions, and the accuracy they prove."""

import dataclasses
import inspect
import math
from collections.abc import Callable
from html import escape
from typing import Any

import keras
import numpy as np

from lipot import axes, checks, extras
from lipot.backend.keras_graph import forget_programs
from lipot.batches import Points, is_dataset
from lipot.certificates.input_scale import warn_of_pixels
from lipot.certificates.shared import by_workers, joined
from lipot.math.norms import norm_name
from lipot.math.proportions import in_percent, in_words
from lipot.workers import check_workers

_CERTIFIERS: dict[type, Callable] = {}
# Points of a stream that a certifier of its own sees at once.
_CHUNK = 4096


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Certificate:
    """What is proven about a classifier's predictions on some points.

    Attributes:
        radius: `(n,)`, distance in `norm` up to which, itself included, each prediction cannot
            change; 0 where nothing is proven, not even at the point itself.
        predictions: `(n,)`, class numbers; of a model with one output unit 1 where it is
            positive.
        correct: `(n,)`, whether each prediction is the label, or `None` without labels.
        lipschitz: Proven Lipschitz constant, in `norm`, of the map to the features before the
            last layer if that is linear, else to the outputs; infinite for a model that has none,
            such as an `OTAD`.
        rounding: `(n,)`, how much radius floating point took from each point.
        proof: What the radii were proven from, in a few words.
        neighbors: `NeighborRadii` of an `OTAD`, else `None`.
        norm: `2` or `"inf"`.
    """

    radius: np.ndarray
    predictions: np.ndarray
    correct: np.ndarray | None
    lipschitz: float
    rounding: np.ndarray
    proof: str = "its Lipschitz constant"
    neighbors: Any = None
    norm: int | str = 2

    def accuracy(self, eps):
        """Certified accuracy: the share of points that are correct with a proof at `eps`.

        A radius is rounded down, so the closed ball is certified: a point counts where `eps` is
        at most its radius. A radius of 0 is no proof and counts nowhere, so that `accuracy(0.0)`
        is at most the accuracy on the points themselves.

        Args:
            eps: Nonnegative float, or an array of them.

        Returns:
            A float, or an array like `eps`. No attack of size `eps` in `norm` brings the model's
            accuracy on these points below it.
        """
        eps = _nonnegative(eps)
        shares = (self._labelled() & holds_within(self.radius, eps[..., None])).mean(axis=-1)
        return shares if shares.ndim else float(shares)

    def plot(self, ax=None, eps=None):
        """Draws certified accuracy against the radius.

        Args:
            ax: Matplotlib axes; new ones by default.
            eps: Radii to draw at, or the largest of them; that of all certificates by default.

        Returns:
            The axes.
        """
        if eps is None:
            finite = self.radius[np.isfinite(self.radius)]
            eps = 1.05 * finite.max(initial=1e-3)
        eps = _nonnegative(eps)
        if eps.size == 0 or not np.all(np.isfinite(eps)):
            raise checks.invalid("eps", "a finite radius, or an array of them", eps)
        if eps.ndim == 0:
            eps = np.linspace(0.0, eps, 200)
        ax = axes.given_or_new(ax, (5, 3.2))
        ax.plot(eps, 100.0 * self.accuracy(eps), label="certified")
        ax.set(xlabel=f"{norm_name(self.norm)} radius", ylabel="certified accuracy (%)")
        ax.set_ylim(0, 100)
        ax.set_xlim(eps[0], eps[-1])
        ax.grid(alpha=0.3)
        return ax

    def table(self):
        """Lists what is proven, a row for each point in the order in which they were given.

        Returns:
            A `pandas.DataFrame` with the columns `prediction`, `correct` (where there were labels),
            `radius` and `rounding`; `table().to_csv("radii.csv")` keeps it.

        Example:

        >>> import keras, lipot, numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
        >>> model.layers[0].set_weights([np.array([[1.0, -1.0], [0.0, 0.0]]), np.zeros(2)])
        >>> table = lipot.certify(model, [[3.0, 5.0], [-2.0, 1.0]], [0, 0]).table()
        >>> table[["prediction", "correct"]].to_dict("records")[1]
        {'prediction': 1, 'correct': False}
        """
        with extras.named():
            import pandas

        columns = {"prediction": self.predictions, "correct": self.correct}
        columns |= {"radius": self.radius, "rounding": self.rounding}
        return pandas.DataFrame({k: v for k, v in columns.items() if v is not None})

    def summary(self):
        """Describes the certificate in a few lines; in brackets, 95 % confidence intervals."""
        certified = self.radius > 0.0
        map_ = f", features {self.lipschitz:.6g}-Lipschitz" if math.isfinite(self.lipschitz) else ""
        lines = [
            f"{len(self.radius)} points{map_}",
            f"{norm_name(self.norm)} radius: median {np.median(self.radius):.4g}, "
            f"mean {np.mean(self.radius):.4g}, largest {np.max(self.radius):.4g}",
            f"certified at some radius: {in_percent(certified.mean())} %",
        ]
        if self.neighbors is not None:
            lines.append(self.neighbors.summary())
        if self.correct is not None:
            lines.append(f"clean accuracy: {self._counted(self.correct.mean())}")
            marks = self._marks()
            lines += [f"certified at {eps:g}: {self._counted(self.accuracy(eps))}" for eps in marks]
        finite = certified & np.isfinite(self.radius)
        if np.any(finite):
            share = np.median(self.rounding[finite] / (self.radius + self.rounding)[finite])
            lines.append(f"taken by floating point: {in_percent(share)} %")
        return "\n".join(lines)

    def __len__(self):
        return len(self.radius)

    def _repr_html_(self):
        title, *facts = self.summary().splitlines()
        rows = (fact.partition(": ") for fact in facts)
        cells = (f"<th>{escape(name)}</th><td>{escape(value)}</td>" for name, _, value in rows)
        body = "".join(f"<tr>{row}</tr>" for row in cells)
        return f"<table><caption>Certificate: {escape(title)}</caption>{body}</table>"

    def __repr__(self):
        facts = [f"{len(self)} points"]
        if self.correct is not None:
            facts.append(f"clean accuracy {in_percent(self.correct.mean())} %")
        facts.append(f"median {norm_name(self.norm)} radius {np.median(self.radius):.4g}")
        return f"<Certificate of {', '.join(facts)}>"

    def in_linf(self, values):
        """The same certificate for l-infinity: `r` there is at most `r sqrt(values)` in l2.

        Args:
            values: Number of values in one input.

        Returns:
            A `Certificate`; one that is in l-infinity already as it is.
        """
        if self.norm == "inf":
            return self
        root = math.sqrt(checks.positive_int("values", values))
        # Rounded down, as the radii were.
        shrunk = (1.0 - 2.0**-50) / root
        neighbors = self.neighbors
        return dataclasses.replace(
            self,
            radius=self.radius * shrunk,
            lipschitz=self.lipschitz * root * (1.0 + 2.0**-50),
            rounding=self.rounding / root,
            proof=f"{self.proof} in l2, divided by sqrt({values})",
            neighbors=None if neighbors is None else neighbors.scaled(shrunk),
            norm="inf",
        )

    def _labelled(self):
        if self.correct is None:
            raise ValueError(
                "Certified accuracy needs labels. Expected certify(model, x, y). Received: y=None"
            )
        return self.correct

    def _counted(self, share):
        return " ".join(in_words(share, len(self)))

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


def _nonnegative(eps):
    radii = np.asarray(eps)
    if radii.dtype.kind not in "iuf" or not np.all(radii >= 0.0):
        raise checks.invalid("eps", "nonnegative numbers", eps)
    return radii


def register_certifier(*model_classes):
    """Teaches `certify` a class of models that have a proof of their own.

    The decorated function receives `(model, x, y, batch_size)` and, as keyword-only arguments
    with defaults, the settings of its own; it returns a `Certificate`. With a keyword-only argument
    `norm` it is told the norm; otherwise it proves in l2, and l-infinity follows. With one named
    `place` it is told the `Place` of the points among all, or `None`.

    Args:
        *model_classes: Classes of Keras models.

    Returns:
        A decorator that returns the function as it is.
    """

    def register(certifier):
        _CERTIFIERS.update(dict.fromkeys(model_classes, certifier))
        return certifier

    return register


def certify(model, x, y=None, norm=2, *, batch_size=256, workers=None, **settings):
    r"""Certifies a classifier's predictions against every perturbation of bounded size.

    Where the model is $x \mapsto W g(x) + b$ with $g$ proven $G$-Lipschitz, its prediction
    $i$ at $x$ cannot change within

    $$ \min_j \frac{f_i(x) - f_j(x)}{G\, \|w_i - w_j\|_*}, $$

    or $|f(x)| / (G \|w\|_*)$ for the sign of one output unit. In l2 the dual norm
    $\|\cdot\|_*$ is l2 itself. In l-infinity it is l1, and where the l2 radius divided by the root
    of the number of inputs is larger, that one counts. Of a model that ends in another layer, $g$
    is the whole and $W$ the identity: in l2 the radius is the margin over $\sqrt 2\, G$. From it is
    taken what floating point can do to the model at `x` and at the perturbed point, so the claim
    is about the predictions the model really computes. An `OTAD` is certified up to where its
    neighbors may change or its logits may cross, whichever is nearer.

    Args:
        model: A built Keras classifier with a graph (see `lipschitz_constant`), or an adapted
            `OTAD`. One output unit must be linear or the sigmoid of what is.
        x: `(n, ...)` array or memory map of finite inputs, or a `tf.data.Dataset`,
            `keras.utils.PyDataset` or `torch.utils.data.DataLoader` of batches of them, with or
            without labels. Beside the certificate itself, memory is that of a batch.
        y: Labels: class numbers, one-hot rows, or for one output unit {0, 1} or {-1, 1}. A data
            set brings its own.
        norm: `2` or `"inf"`, the norm of the perturbation; `"l2"`, `"linf"` and `np.inf` will do.
        batch_size: Number of points to run at once.
        workers: Number of processes to share the points between, or the address
            `"ray://host:port"` of a Ray cluster (`pip install 'lipot[ray]'`); `None` for this
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
    >>> model.layers[0].set_weights([np.array([[1.0, -1.0], [1.0, -1.0]]), np.zeros(2)])
    >>> lipot.certify(model, [[3.0, 5.0]], norm="inf").radius.round(4).tolist()   # 8 / (1 + 1)
    [4.0]
    """
    norm = checks.norm("norm", norm)
    batch_size = checks.positive_int("batch_size", batch_size)
    checks.instance("model", model, keras.Model, "a Keras model: load a file with load_model")
    if workers is not None:
        check_workers(workers)
    warn_of_pixels(model, x)
    if workers is None:
        return prove(model, x, y, batch_size, norm, settings)
    return by_workers(prove, model, x, y, batch_size, workers, norm, settings)


def prove(model, x, y, batch_size, norm, settings, place=None):
    """Certifies points by the certifier of the model's class."""
    known = next((c for c in type(model).__mro__ if c in _CERTIFIERS), keras.Model)
    certifier = _CERTIFIERS[known]
    told = _told(certifier, model, settings, {"norm": norm, "place": place})
    # Programs may be older than what a proof reads; the model of a worker was loaded for it.
    if place is None:
        forget_programs(model)

    def proven(x, y):
        certificate = certifier(model, x, y, batch_size, **told)
        if certificate.norm == norm:
            return certificate
        return certificate.in_linf(math.prod(Points(x).sample_shape()))

    if known is keras.Model or not (is_dataset(x) or isinstance(x, np.memmap)):
        return proven(x, y)
    # What a certifier of its own prepares for all points is worth more points than a batch.
    return joined([proven(*chunk) for chunk in Points(x, y).batches(max(batch_size, _CHUNK))])


def _told(certifier, model, settings, facts):
    """Keyword arguments of a certifier: the settings, and of the facts those it asks for."""
    parameters = inspect.signature(certifier).parameters.values()
    names = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    facts = {name: fact for name, fact in facts.items() if name in names}
    names -= set(facts)
    for name in settings:
        if name not in names:
            allowed = f"one of {sorted(names)}" if names else "no further arguments"
            raise ValueError(
                f"Invalid argument `{name}` received. Expected {allowed} for a model of class "
                f"{type(model).__name__}. Received: {name}={settings[name]!r}"
            )
    return {**facts, **settings}
