"""What is evaluated: a model and its points, checked, with the estimator that attacks see."""

import warnings
from typing import Any, NamedTuple

import keras
import numpy as np

from lipot import checks
from lipot.attacks.ball import LEAST_MEASURED, warn_about_units
from lipot.certificates.input_scale import input_scale
from lipot.evaluation.run.moves import move
from lipot.evaluation.run.outputs import Outputs, find_outputs
from lipot.evaluation.run.randomness import draws, is_random, mean_prediction
from lipot.evaluation.run.ranges import Range, find_range
from lipot.evaluation.run.storage import held, in_parts
from lipot.interop import art
from lipot.interop.art import heads


class Task(NamedTuple):
    """A model, the points it is judged on and the perturbations it must stand.

    Attributes:
        model: Keras classifier.
        target: Estimator from `lipot.interop.art.classifier`, on inputs in [0, 1].
        x: Float32 points `(n, ...)`.
        y: Class numbers `(n,)`.
        predictions: Predicted classes `(n,)`.
        norm: `2` or `"inf"`.
        eps: Increasing tuple of radii, in units of `x`.
        range: `Range` of the data.
        outputs: `Outputs` of the model.
        batch_size: Points at once.
        random: Whether the model answers differently when it is asked again.
        eot_samples: Draws of the model whose mean decides, and is what attacks see.
    """

    model: keras.Model
    target: Any
    x: np.ndarray
    y: np.ndarray
    predictions: np.ndarray
    norm: int | str
    eps: tuple
    range: Range
    outputs: Outputs
    batch_size: int
    random: bool = False
    eot_samples: int = 1

    @property
    def middle(self):
        """Which radius is the one in the middle, counted from the smallest."""
        return len(self.eps) // 2

    @property
    def middle_eps(self):
        """The radius in the middle, where one of them has to do."""
        return self.eps[self.middle]

    def run(self, attack, x, y):
        """Has an ART attack move some points, as `Moved`."""
        # One-hot, the one form that every attack of ART reads.
        labels = np.eye(self.target.nb_classes, dtype="float32")[y]
        moved = move(attack, self.range.to_unit(x), labels)
        return moved._replace(points=self.range.from_unit(moved.points))

    def classes(self, x):
        """Classes that the model itself decides for, by its own `predict`."""
        values = mean_prediction(self.model, x, self.batch_size, self.eot_samples)
        return self.outputs.classes(values)


def recipe(task):
    """What `remake` needs beside the model to make a task that attacks as this one does."""
    fields = ("norm", "eps", "range", "outputs", "batch_size", "random", "eot_samples")
    return {"first": np.array(task.x[:1]), **{name: getattr(task, name) for name in fields}}


def remake(model, *, first, **fields):
    """Makes a `Task` of a model in another process; its points are the first one alone."""
    target = _target(model, first, fields["range"], fields["outputs"], fields["eot_samples"])
    labels = np.zeros(1, "int64")
    return Task(model=model, target=target, x=first, y=labels, predictions=labels, **fields)


def make_task(
    model, x, y, *, norm, eps, clip_values=None, outputs="auto", batch_size=256, eot_samples=None
):
    """Checks everything that `lipot.evaluate` is given; see there for the arguments."""
    _check_model(model)
    batch_size = checks.positive_int("batch_size", batch_size)
    norm, eps = checks.norm("norm", norm), _radii(eps)
    checks.choice("outputs", outputs, heads.OUTPUTS)
    if eot_samples is not None:
        checks.positive_int("eot_samples", eot_samples)
    x, y = held(x, y)
    x = _points(model, x)
    range_ = find_range(x, clip_values, input_scale(model, x))
    warn_about_units(eps[-1], norm, range_.low, range_.high, LEAST_MEASURED)
    random = is_random(model, x, batch_size)
    eot_samples = draws(eot_samples, random)
    values = mean_prediction(model, x, batch_size, eot_samples)
    found = find_outputs(model, values, outputs)
    y = checks.labels(y, len(x), found.units)
    target = _target(model, x, range_, found, eot_samples)
    predictions = found.classes(values)
    judged = (norm, eps, range_, found, batch_size, random, eot_samples)
    return Task(model, target, x, y, predictions, *judged)


def _check_model(model):
    checks.built_model("model", model)
    inputs = getattr(model, "inputs", None)
    if inputs is not None and len(inputs) != 1:
        raise checks.refused(
            "model", "a model of one input", f"'{model.name}' with {len(inputs)} inputs"
        )


def _radii(eps):
    try:
        radii = sorted({checks.positive_float("eps", radius) for radius in np.atleast_1d(eps)})
    except ValueError:
        radii = []
    if not radii:
        raise checks.invalid("eps", "a positive number, or a list of them", eps)
    return tuple(radii)


def _points(model, x):
    # A memory map stays one: nothing here may read it as a whole.
    if not isinstance(x, np.memmap):
        x = checks.array("x", x, "an array of points, all of one shape")
    expected = getattr(model, "input_shape", None)
    expected = tuple(expected) if isinstance(expected, tuple | list) else (None,) * x.ndim
    if x.ndim < 2 or not checks.fits(x.shape, (None, *expected[1:])) or len(x) == 0:
        shape = "(points, ...)" if None in expected[1:] else f"(points, {str(expected[1:])[1:-1]})"
        raise checks.refused("x", f"at least one point, and shape {shape}", f"shape {x.shape}")
    if x.dtype.kind not in "biuf":
        raise checks.refused("x", "numbers", f"dtype {x.dtype}")
    missing = np.sum(in_parts(lambda part: [np.sum(~np.isfinite(part))], x))
    if missing:
        raise checks.refused("x", "finite numbers", f"{missing} that are not")
    return x if isinstance(x, np.memmap) else x.astype("float32")


def _target(model, x, range_, outputs, eot_samples):
    with warnings.catch_warnings():
        # That a final softmax is taken off is said in the report.
        warnings.filterwarnings("ignore", message="Model .* ends in probabilities")
        target = art.classifier(
            model,
            clip_values=(0.0, 1.0),
            outputs=outputs.attacked,
            preprocessing=range_.preprocessing,
            input_shape=x.shape[1:],
            # Climbs where the cross-entropy does, also where that has levelled off.
            loss="steep_crossentropy",
            eot_samples=eot_samples,
        )
    try:
        target.loss_gradient(range_.to_unit(x[:1]), np.zeros(1, "int32"))
    # Whatever the framework raises where an operation has no derivative, or is no tensor's.
    except Exception as error:
        raise checks.refused(
            "model",
            "a model with input gradients",
            f"'{model.name}', whose gradient fails: {' '.join(str(error).split())[:300]}",
        ) from error
    return target
