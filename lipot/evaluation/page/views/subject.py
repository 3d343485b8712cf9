"""What the views look at: a model, points, and what an attack made of them."""

from typing import Any, NamedTuple

import numpy as np


class Subject(NamedTuple):
    """A model with clean and attacked points.

    Attributes:
        model: Keras model.
        target: ART estimator of it, which gives logits and their gradients.
        x: Clean inputs, float32 `(n, ...)`.
        y: Class numbers `(n,)`.
        x_adv: Attacked inputs, shaped like `x`.
        logits: Of the clean inputs, `(n, classes)`.
        logits_adv: Of the attacked inputs.
        eps: Radius of the attack.
        norm: `"inf"` or 2.
        clip_values: Least and greatest value of an input, or `None`.
        seed: Integer.
    """

    model: Any
    target: Any
    x: Any
    y: Any
    x_adv: Any
    logits: Any
    logits_adv: Any
    eps: float
    norm: Any
    clip_values: Any
    seed: int

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
        parts = ("x", "y", "x_adv", "logits", "logits_adv")
        return self._replace(**{name: getattr(self, name)[rows] for name in parts})


def telling_rows(subject, count):
    """Chooses points to show: first those an attack turned, each of another class.

    Example:

    >>> import numpy as np
    >>> logits, attacked = np.eye(2)[[0, 0, 1, 1]], np.eye(2)[[0, 1, 1, 0]]
    >>> nothing = dict.fromkeys(("model", "target", "eps", "norm", "clip_values", "seed"))
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
