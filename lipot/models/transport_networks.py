"""The networks OTAD is made from: residual ones that keep their dimension, and a plain twin."""

import keras

from lipot.layers.transport_residual import TransportResidual
from lipot.models.builders import checked


@checked
def transport_resnet(dimension, blocks=5, *, width=None, weight=0.0, weight_decay=5e-4):
    """Builds the fully connected residual network that keeps its dimension.

    Every block is `x + Dense(relu(Dense(x)))`, by default as wide inside as outside. Branches start
    small: the network begins next to the identity, the shortest of all maps. The paper takes 5
    blocks for MNIST, 4 for single cells, 10 for wine and 3 for Gaussians.

    Args:
        dimension: Positive int, size of the inputs and of the features.
        blocks: Positive int, number of residual blocks.
        width: Positive int, size inside of a block, or `None` for `dimension`. Blocks of colour
            images have millions of weights: of 32x32 pixels 19 million each, of a width of 1024
            six.
        weight: Non-negative float, factor of the transport energy of each block in the loss.
        weight_decay: Non-negative float, factor of the squared weights in the loss, halved as
            optimizers do it.

    Returns:
        A `keras.Sequential` from `(batch, dimension)` to the same shape.

    Reference:
        Gai, Wang and Zhang, "OTAD", equation 10 and section V.A.

    Example:

    >>> transport_resnet(8, blocks=2).output_shape
    (None, 8)
    """
    parts = [
        TransportResidual(
            keras.Sequential(_perceptron(dimension, width, weight_decay, last_scale=0.1)),
            weight=weight,
            name=f"transport_{block}",
        )
        for block in range(blocks)
    ]
    return keras.Sequential([keras.Input((dimension,)), *parts], name="transport_resnet")


@checked
def plain_network(dimension, blocks=5, *, weight_decay=5e-4):
    """Builds the same network without the residual connections.

    Args:
        dimension: Positive int, size of the inputs and of the features.
        blocks: Positive int, number of blocks of two layers each.
        weight_decay: As in `transport_resnet`.

    Returns:
        A `keras.Sequential` from `(batch, dimension)` to the same shape.

    Reference:
        Gai, Wang and Zhang, "OTAD", section V.H.

    Example:

    >>> plain_network(8, blocks=2).output_shape
    (None, 8)
    """
    layers = []
    for block in range(blocks):
        layers += _perceptron(dimension, None, weight_decay)
        if block + 1 < blocks:
            layers.append(keras.layers.ReLU())
    return keras.Sequential([keras.Input((dimension,)), *layers], name="plain_network")


def _perceptron(dimension, width, weight_decay, last_scale=1.0):
    def dense(units, scale, activation=None):
        # The gradient of (decay / 2) |w|^2 is the decay * w that SGD with weight decay adds.
        decay = keras.regularizers.L2(0.5 * weight_decay) if weight_decay else None
        return keras.layers.Dense(
            units,
            activation,
            kernel_initializer=keras.initializers.VarianceScaling(scale),
            kernel_regularizer=decay,
        )

    return [dense(width or dimension, 2.0, "relu"), dense(dimension, last_scale)]
