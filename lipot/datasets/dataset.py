"""Points to train and to test on, with what must be known about them."""

from typing import NamedTuple

import numpy as np


class Dataset(NamedTuple):
    """Training and test points with what an attack or a plot must know about them.

    Attributes:
        x_train: Float32 array `(points, ...)`; images are `(points, rows, columns, channels)`
            with values in [0, 1].
        y_train: Int32 labels `(points,)`, or float32 targets for a regression.
        x_test: As `x_train`.
        y_test: As `y_train`.
        name: The name it was loaded by.
        classes: Names of the classes in the order of the labels; empty for a regression.
        clip_values: Smallest and largest value an input can take; None where there is no limit.
        note: What must be said beside every figure made from these points; mostly empty.

    Example: arrays of your own, for `lipot.recipes`.

    >>> x, y = np.eye(4, dtype="float32"), np.array([0, 1, 0, 1], "int32")
    >>> data = Dataset(x, y, x[:2], y[:2], "corners", classes=("even", "odd"), clip_values=(0, 1))
    >>> data.y_test_onehot.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    name: str
    classes: tuple = ()
    clip_values: tuple | None = None
    note: str = ""

    @property
    def y_train_onehot(self):
        """Training labels as float32 rows of 0 and 1, which the hinge-KR losses take."""
        return self._onehot(self.y_train)

    @property
    def y_test_onehot(self):
        """Test labels as float32 rows of 0 and 1."""
        return self._onehot(self.y_test)

    def _onehot(self, labels):
        if not self.classes:
            raise ValueError(f"`{self.name}` is a regression: it has no classes to encode.")
        return np.eye(len(self.classes), dtype="float32")[labels]
