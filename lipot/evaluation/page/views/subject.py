"""What the views look at: a task, and what an attack made of its points."""

import warnings
from typing import Any, NamedTuple

import numpy as np

from lipot import checks
from lipot.interop import art


class Subject(NamedTuple):
    """A task with what an attack made of its points, or some of them.

    Attributes:
        task: `lipot.evaluation.run.task.Task`.
        target: ART estimator of the model on inputs as they are, which gives logits and their
            gradients.
        x: Clean inputs, float32 `(n, ...)`.
        y: Class numbers `(n,)`.
        x_adv: Attacked inputs, shaped like `x`.
        attacks: Name of the attack that broke each, empty where none did, `(n,)`.
        logits: Of the clean inputs, `(n, classes)`.
        logits_adv: Of the attacked inputs.
        eps: Radius of the attack.
        seed: Integer.
    """

    task: Any
    target: Any
    x: Any
    y: Any
    x_adv: Any
    attacks: Any
    logits: Any
    logits_adv: Any
    eps: float
    seed: int

    @property
    def model(self):
        """The Keras model."""
        return self.task.model

    @property
    def norm(self):
        """`"inf"` or 2."""
        return self.task.norm

    @property
    def clip_values(self):
        """Least and greatest value of an input."""
        return self.task.range[:2]

    @property
    def right(self):
        """Whether each clean input is classified rightly."""
        return self.logits.argmax(axis=1) == self.y

    @property
    def right_adv(self):
        """Whether each attacked input still is."""
        return self.logits_adv.argmax(axis=1) == self.y

    def take(self, rows):
        """Returns the subject with some of its points."""
        parts = ("x", "y", "x_adv", "attacks", "logits", "logits_adv")
        return self._replace(**{name: getattr(self, name)[rows] for name in parts})


def make_subject(task, x_adv, *, eps, attacks, seed):
    """Makes the `Subject` of a task; see `lipot.evaluation.page.views.compute`."""
    x, x_adv = np.asarray(task.x, "float32"), np.asarray(x_adv, "float32")
    if x.shape != x_adv.shape:
        raise checks.refused(
            "x_adv", f"inputs shaped like the points, {x.shape}", f"shape {x_adv.shape}"
        )
    attacks = np.full(len(x), "") if attacks is None else np.asarray(attacks, str)
    target = _target(task)
    logits, logits_adv = target.predict(x), target.predict(x_adv)
    return Subject(task, target, x, task.y, x_adv, attacks, logits, logits_adv, eps, seed)


def _target(task):
    """The estimator of a task on inputs as they are: a picture is no place for another unit."""
    if task.range.preprocessing is None:
        return task.target
    with warnings.catch_warnings():
        # That a final softmax is taken off matters to no picture.
        warnings.simplefilter("ignore")
        return art.classifier(
            task.model,
            clip_values=task.range[:2],
            outputs=task.outputs.attacked,
            input_shape=task.x.shape[1:],
            eot_samples=task.eot_samples,
        )


def telling_rows(subject, count):
    """Chooses points to show: first those an attack turned, each of another class.

    Example:

    >>> import numpy as np
    >>> logits, attacked = np.eye(2)[[0, 0, 1, 1]], np.eye(2)[[0, 1, 1, 0]]
    >>> nothing = dict.fromkeys(("task", "target", "attacks", "eps", "seed"))
    >>> subject = Subject(x=logits, y=np.array([0, 0, 1, 1]), x_adv=attacked, logits=logits,
    ...                   logits_adv=attacked, **nothing)
    >>> telling_rows(subject, 3).tolist()
    [1, 3, 0]
    """
    turned = subject.right & ~subject.right_adv
    seen = {}
    rank = np.zeros(len(subject.y), int)
    # The k-th turned point of a class comes after all (k - 1)-th ones, then the others.
    for kind in (turned, subject.right & ~turned, ~subject.right):
        for row in np.flatnonzero(kind):
            label = int(subject.y[row])
            rank[row] = seen[label] = seen.get(label, 0) + 1
    group = np.where(turned, 0, np.where(subject.right, 1, 2))
    return np.lexsort((subject.y, rank, group))[:count]


def margins_and_gradients(target, x, own, other):
    """Logit of class `own` above class `other` at each input, and its gradient.

    Args:
        target: ART estimator.
        x: Inputs `(n, ...)`.
        own: Class numbers `(n,)`.
        other: Class numbers `(n,)`.

    Returns:
        Margins `(n,)` and gradients shaped like `x`.
    """
    logits = target.predict(x)
    rows = np.arange(len(x))
    gradient = target.class_gradient(x, own)[:, 0] - target.class_gradient(x, other)[:, 0]
    return logits[rows, own] - logits[rows, other], gradient


def lengths(shift):
    """l2 norm of each example, shaped to broadcast against the batch."""
    axes = tuple(range(1, shift.ndim))
    return np.sqrt(np.sum(np.square(shift, dtype="float64"), axis=axes, keepdims=True))
