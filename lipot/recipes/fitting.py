"""The part of a training for a number of epochs that is the same in every recipe."""

from typing import NamedTuple

import keras

from lipot.datasets.dataset import Dataset


class Fitting(NamedTuple):
    """How a recipe goes through the training points.

    Attributes:
        data: The `lipot.datasets.Dataset`.
        epochs: Passes over the training points.
        batch_size: Points in one step.
        callbacks: Keras callbacks of the user.
        verbose: As in `keras.Model.fit`.

    Example:

    >>> from lipot import datasets
    >>> digits = datasets.load("digits")
    >>> len(digits.x_train), Fitting(digits, epochs=2, batch_size=64).steps
    (1437, 46)
    """

    data: Dataset
    epochs: int
    batch_size: int
    callbacks: tuple = ()
    verbose: int | str = 0

    @property
    def steps(self):
        """Steps of the training, the last one of each epoch of fewer points."""
        return self.epochs * -(-len(self.data.x_train) // self.batch_size)

    def cosine(self, learning_rate, last=0.0):
        """A learning rate that falls as half a cosine, at the end to the share `last` of itself."""
        return keras.optimizers.schedules.CosineDecay(learning_rate, self.steps, alpha=last)

    def fit(self, model, labels, *callbacks):
        """Trains a compiled model, with callbacks of the recipe before those of the user."""
        model.fit(
            self.data.x_train,
            labels,
            batch_size=self.batch_size,
            epochs=self.epochs,
            callbacks=[*callbacks, *self.callbacks],
            verbose=self.verbose,
        )
