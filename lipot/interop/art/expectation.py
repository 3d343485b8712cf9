"""Expectation over randomness: a random model as attacks see it, the mean of many draws."""

import keras
from keras import ops

from lipot.interop.art.heads import Head


class _Average(keras.Model):
    """The mean of what a head reads in several calls of its model; never saved."""

    def __init__(self, head, samples):
        super().__init__(name=head.model.name)
        self.inner = head.model
        self._read = head.read
        self._samples = samples
        self.built = True

    def call(self, inputs, training=False):
        # Calls of their own: in one call of a larger batch, noise may be shared by all rows.
        draws = [self._read(self.inner(inputs, training=training)) for _ in range(self._samples)]
        return ops.mean(ops.stack(draws), axis=0)


def averaged(head, width, samples):
    """The head that returns the mean of several draws.

    Since the mean is linear, so is its derivative: the mean of the gradients of the draws.

    Args:
        head: `Head`.
        width: Numbers that it reads for each sample.
        samples: How many draws; 1 returns the head itself.

    Returns:
        A `Head`.

    Reference:
        Athalye, Engstrom, Ilyas and Kwok, "Synthesizing robust adversarial examples", 2018.
    """
    if samples == 1:
        return head
    return Head(_Average(head, samples), lambda values: values, width, head.classes)
