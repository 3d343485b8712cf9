"""The classifiers that hKR's paper compares: one architecture, told apart by weights and loss."""

from typing import NamedTuple

import keras
import numpy as np

from lipot import attacks, datasets, layers, losses, models

ALPHA = 50.0


class Problem(NamedTuple):
    """Data of one comparison.

    Attributes:
        x_train: Inputs.
        y_train: Class numbers; 0 and 1 where there are two.
        x_test: Inputs.
        y_test: Class numbers.
        classes: Number of classes.
        radii: l2 radii that attacks are judged at.
        clip_values: Least and greatest value of an input, or `None`.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: int
    radii: tuple
    clip_values: tuple | None = (0.0, 1.0)


class Method(NamedTuple):
    """How a classifier is made.

    Attributes:
        weights: `"free"`, `"1-Lipschitz"` with ReLU, or `"GNP"`: gradient norm preserving.
        loss: Function of the number of classes that returns a Keras loss.
        attacked: Whether it trains on attacked batches.
        centred: Whether the trained function is centred between the classes (equation 2).
    """

    weights: str
    loss: object
    attacked: bool = False
    centred: bool = False


def _log(classes):
    if classes == 2:
        return keras.losses.BinaryCrossentropy(from_logits=True)
    return keras.losses.CategoricalCrossentropy(from_logits=True)


def _hinge(margin):
    """The paper's margin: of each output from 0, half of what `min_margin` means."""

    def loss(classes):
        if classes == 2:
            return losses.HingeMargin(min_margin=2.0 * margin)
        return losses.MulticlassHinge(min_margin=2.0 * margin, balanced=False)

    return loss


def hinge_kr(margin, alpha=ALPHA, balanced=False):
    """The method hKR; balanced, the class of an image weighs as much as all others together."""

    def loss(classes):
        if classes == 2:
            return losses.HKR(alpha=alpha, min_margin=2.0 * margin)
        # A q-th of equation 12: both of its terms are sums over the classes.
        return losses.MulticlassHKR(alpha=alpha, min_margin=2.0 * margin, balanced=balanced)

    return Method("GNP", loss)


METHODS = {
    "hKR 50, m 1": hinge_kr(1.0),
    "hKR 50, m 2.12": hinge_kr(2.12),
    "GNP hinge, m 1": Method("GNP", _hinge(1.0)),
    "GNP hinge, m 2.12": Method("GNP", _hinge(2.12)),
    "GNP log": Method("GNP", _log),
    "1LIP log": Method("1-Lipschitz", _log),
    "Adv": Method("free", _log, attacked=True),
    "KR, centred": hinge_kr(1.0, alpha=0.0)._replace(centred=True),
}


def moons():
    """The two moons of figure 1."""
    points = datasets.load("two_moons")
    return Problem(
        points.x_train, points.y_train, points.x_test, points.y_test, 2, (0.1, 0.3, 0.5), None
    )


def mnist():
    found = datasets.load("mnist")
    return Problem(*found[:4], 10, (0.5, 1.0, 1.5, 2.0, 3.0))


def cifar10():
    found = datasets.load("cifar10")
    return Problem(*found[:4], 10, (36 / 255, 72 / 255, 0.5, 1.0))


def nines():
    """An unbalanced task of two classes in the place of CelebA: is the digit a 9, a tenth are."""
    found = mnist()
    labels = [(y == 9).astype("int64") for y in (found.y_train, found.y_test)]
    return found._replace(y_train=labels[0], y_test=labels[1], classes=2)


PROBLEMS = {"MNIST": mnist, "a 9 in MNIST": nines, "CIFAR-10": cifar10, "two moons": moons}


def network(method, shape, classes):
    """Builds the network of a method; two classes have one output, the sign of which tells.

    Example:

    >>> network(METHODS["GNP log"], (28, 28, 1), 10).output_shape
    (None, 10)
    """
    free = method.weights == "free"
    relu = method.weights != "GNP"
    conv = keras.layers.Conv2D if free else layers.OrthogonalConv2D
    dense = keras.layers.Dense if free else layers.SpectralDense
    parts = [keras.Input(shape)]
    if len(shape) == 3:
        for filters in (16, 32):
            parts += [conv(filters, 4, strides=2, padding="same")]
            parts.append(keras.layers.ReLU() if relu else layers.GroupSort2())
        parts.append(keras.layers.Flatten())
    for units in (256, 256):
        parts += [dense(units), keras.layers.ReLU() if relu else layers.FullSort()]
    outputs = 1 if classes == 2 else classes
    head = keras.layers.Dense if free else layers.FrobeniusDense
    many = {} if free else {"disjoint_neurons": True}
    return keras.Sequential([*parts, head(outputs, **many)])


def labels_of(y, classes):
    """Labels as every loss here reads them: 0 and 1 in a column, or one-hot rows."""
    if classes == 2:
        return y.astype("float32")[:, None]
    return np.eye(classes, dtype="float32")[y]


def compiled(method, built, problem, rate, radius):
    """Compiles a network for its method; returns what is to be fitted.

    Args:
        method: `Method`.
        built: What `network` made.
        problem: `Problem`.
        rate: Learning rate or schedule.
        radius: l2 radius of the attack of `Adv`.
    """
    optimizer = keras.optimizers.Adam(rate)
    if not method.attacked:
        built.compile(optimizer, method.loss(problem.classes))
        return built
    low, high = problem.clip_values or (None, None)
    attack = attacks.PGD(radius, steps=7, norm=2, clip_min=low, clip_max=high)
    robust = models.AdversarialModel(
        with_logits(built, problem.classes), attack, [losses.AdversarialCrossentropy()]
    )
    robust.compile(optimizer)
    return robust


def with_logits(built, classes):
    """The network itself, or with the logits `(-f, f)` for its one output."""
    if classes != 2:
        return built
    inputs = keras.Input(built.input_shape[1:])
    outputs = built(inputs)
    return keras.Model(inputs, keras.layers.Concatenate()([-outputs, outputs]))


def centred(built, problem):
    """Shifts a function of one output so that 0 lies between the means of the classes (eq. 2).

    With several outputs each is shifted so, against all other classes.

    Example:

    >>> inputs = keras.Input((1,))
    >>> line = keras.Model(inputs, keras.layers.Identity()(inputs))
    >>> x, y = np.array([[0.0], [2.0], [8.0]], "float32"), np.array([0, 0, 1])
    >>> shifted = centred(line, Problem(x, y, x, y, 2, ()))
    >>> [float(value) for value in shifted.predict(x, verbose=0)[:, 0]]
    [-4.5, -2.5, 3.5]
    """
    scores = built.predict(problem.x_train, batch_size=500, verbose=0)
    own = problem.y_train[:, None] == (
        np.arange(1, 2) if problem.classes == 2 else np.arange(problem.classes)
    )
    means = [np.mean(scores, axis=0, where=side) for side in (own, ~own)]
    shift = keras.layers.Rescaling(1.0, offset=(-0.5 * (means[0] + means[1])).tolist())
    inputs = keras.Input(built.input_shape[1:])
    return keras.Model(inputs, shift(built(inputs)))
