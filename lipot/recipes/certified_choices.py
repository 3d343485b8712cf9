"""What a certified training chooses from: architectures, losses, learning rates.

A new architecture or loss is one function here and its line in `ARCHITECTURES` or `LOSSES`.
"""

import itertools
import math
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from lipot import checks, layers, losses, models, optimizers
from lipot.models import builders


class Candidate(NamedTuple):
    """One choice to try: architecture, loss, sharpness of the loss and learning rate.

    Attributes:
        architecture: `"dense"`; for images also `"convolution"`, `"convolutions"` or `"lipnext"`.
        loss: `"margin"`, which is `lipot.losses.MarginCategoricalCrossentropy`, `"emma"`, `"gloro"`
            or `"hkr"`.
        sharpness: How soon the loss is content with a margin; its temperature is this over the
            radius.
        learning_rate: The greatest one.

    Example:

    >>> print(Candidate("dense", "emma", sharpness=3.0, learning_rate=2e-3))
    dense, emma, sharpness 3, rate 0.002
    """

    architecture: str
    loss: str
    sharpness: float
    learning_rate: float

    def __str__(self):
        return (
            f"{self.architecture}, {self.loss}, sharpness {self.sharpness:g}, "
            f"rate {self.learning_rate:g}"
        )


class Architecture(NamedTuple):
    """How to build a network, and for which inputs.

    Attributes:
        build: From the shape of an input and the number of classes to an uncompiled model, whose
            last layer is linear and whose others are 1-Lipschitz.
        fits: Whether it takes inputs of a shape.
        optimizer: From a learning rate to an optimizer.
    """

    build: Callable
    fits: Callable
    optimizer: Callable


class Goal(NamedTuple):
    """A loss, and what its numbers do as time goes by, for `TimeBudget`."""

    loss: Any
    loss_params: dict


def dense(input_shape, units):
    """Three orthonormal dense layers that sort."""
    return _assembled(input_shape, units, [])


def convolution(input_shape, units):
    """An orthogonal convolution of overlapping patches, then the dense layers."""
    return _assembled(input_shape, units, [8 * input_shape[-1]])


def convolutions(input_shape, units):
    """Two such convolutions, each of which halves the image."""
    return _assembled(input_shape, units, [8 * input_shape[-1], 32 * input_shape[-1]])


@builders.checked
def _assembled(input_shape, units, channels):
    body = [
        part
        for count in channels
        for part in (layers.OrthogonalConv2D(count, 4, strides=2), layers.GroupSort2())
    ]
    width = 512 if math.prod(input_shape) > 256 else 128
    hidden = [part for _ in range(3) for part in (layers.SpectralDense(width), layers.GroupSort2())]
    flat = [keras.layers.Flatten()] if len(input_shape) > 1 else []
    head = layers.FrobeniusDense(units, disjoint_neurons=True)
    return keras.Sequential([keras.Input(input_shape), *body, *flat, *hidden, head])


def _images(factor):
    """Whether a shape is that of images whose sides a number divides."""
    return lambda shape: len(shape) == 3 and not (shape[0] % factor or shape[1] % factor)


def _adam(learning_rate):
    # Gradients vanish where all margins hold: a memory of a thousand steps, the usual one, then
    # makes the next step too long.
    return keras.optimizers.Adam(learning_rate, beta_2=0.99, epsilon=1e-5)


def _lipnext(input_shape, units):
    return models.lipnext(input_shape, units, width=128, depth=4)


ARCHITECTURES = {
    "convolution": Architecture(convolution, _images(2), _adam),
    "dense": Architecture(dense, lambda shape: len(shape) in (1, 3), _adam),
    "convolutions": Architecture(convolutions, _images(4), _adam),
    "lipnext": Architecture(_lipnext, _images(2), optimizers.ManifoldAdam),
}


def _margin(eps, sharpness, head):
    # Rows of norm one that are orthogonal lie sqrt(2) apart: so much margin proves the radius.
    margin = math.sqrt(2.0) * eps
    return Goal(losses.MarginCategoricalCrossentropy(sharpness / eps, min_margin=margin), {})


def _emma(eps, sharpness, head):
    return Goal(losses.EMMA(eps, head=head, tau=sharpness / eps), {})


def _gloro(eps, sharpness, head):
    loss = losses.GloRo(eps, head=head, tau=sharpness / eps)
    # As its authors do: the whole radius at once would silence the classes.
    return Goal(loss, {"eps": ([0.01 * eps, eps], [0.0, 0.5])})


def _hkr(eps, sharpness, head):
    return Goal(losses.MulticlassHKR(10.0 * sharpness, min_margin=math.sqrt(2.0) * eps), {})


LOSSES = {"margin": _margin, "emma": _emma, "gloro": _gloro, "hkr": _hkr}
SHARPNESS = (6.0, 3.0)
LEARNING_RATES = (2e-3, 5e-4)


def candidates(input_shape, seed=0):
    """All choices for inputs of a shape, in an order that a seed draws.

    The first is the one that was best on MNIST.

    Example:

    >>> choices = candidates((28, 28, 1))
    >>> len(choices), str(choices[0])
    (64, 'convolution, margin, sharpness 6, rate 0.002')
    """
    fitting = [name for name, choice in ARCHITECTURES.items() if choice.fits(input_shape)]
    if not fitting:
        raise checks.invalid("input_shape", "(features,) or (rows, columns, channels)", input_shape)
    every = itertools.product(fitting, LOSSES, SHARPNESS, LEARNING_RATES)
    first, *others = [Candidate(*choice) for choice in every]
    random.Random(seed).shuffle(others)
    return [first, *others]
