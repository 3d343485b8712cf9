"""The encoder, classifier and discriminator of OT-Classifier."""

import keras

from lipot.constraints import WeightClipConstraint
from lipot.models.blocks import PlainBlocks, blocks_from
from lipot.models.builders import checked


@checked
def embedding_encoder(input_shape=(28, 28, 1), code_size=4, filters=32, layers=None):
    """Builds an encoder from images to a code of few numbers: four strided convolutions.

    They have no batch normalization: where half of a batch is attacked, its statistics are those of
    neither half, and the network learns an attack of one radius and little below it.

    Args:
        input_shape: Shape of one image.
        code_size: Positive int, dimension of the code. Table 3 of the paper has 4 for MNIST, 16
            for CIFAR-10.
        filters: Positive int, channels of the first convolution; each next one has twice as many.
        layers: `lipot` for the 1-Lipschitz twin; plain Keras layers by default.

    Returns:
        A `keras.Sequential` from images to codes `(batch, code_size)`.

    Example:

    >>> from lipot.models import embedding_encoder
    >>> embedding_encoder(code_size=4).output_shape
    (None, 4)
    """
    blocks = blocks_from(layers)
    body = []
    for factor in (1, 2, 4, 8):
        body += [blocks.conv(factor * filters, 4, 2), blocks.activation()]
    body += [keras.layers.Flatten(), blocks.dense(code_size)]
    return keras.Sequential([keras.Input(input_shape), *body], name="encoder")


@checked
def embedding_classifier(code_size=4, classes=10, units=(500, 256), layers=None):
    """Builds a classifier from codes to logits: two hidden layers with batch normalization.

    Args:
        code_size: Positive int, dimension of the code.
        classes: Positive int, number of classes.
        units: Widths of the hidden layers, or one number for two of that width.
        layers: `lipot` for the 1-Lipschitz twin; plain Keras layers by default.

    Returns:
        A `keras.Sequential` from codes to logits.

    Example:

    >>> from lipot.models import embedding_classifier
    >>> embedding_classifier(code_size=4).output_shape
    (None, 10)
    """
    blocks = blocks_from(layers)
    body = []
    for width in _widths(units, 2):
        body += [blocks.dense(width), blocks.normalization(), blocks.activation()]
    parts = [keras.Input((code_size,)), *body, blocks.head(classes)]
    return keras.Sequential(parts, name="classifier")


@checked
def embedding_discriminator(code_size=4, units=512, clip=None, layers=None):
    r"""Builds a discriminator from codes to one number, the critic of the paper's objective.

    With `layers=lipot` it is 1-Lipschitz, and the objective is the Kantorovich-Rubinstein dual of
    the Wasserstein-1 distance between codes and prior. With `clip` it is the paper's: a plain
    network that ends in the logarithm of a sigmoid, $\log D(z)$, and is kept bounded by clipping
    its weights.

    Args:
        code_size: Positive int, dimension of the code.
        units: Widths of the hidden layers, or one number for four of that width.
        clip: Largest absolute weight of a plain network, or `None` not to clip.
        layers: `lipot` for the 1-Lipschitz critic; plain Keras layers by default.

    Returns:
        A `keras.Sequential` from codes to one number.

    Example:

    >>> import numpy as np
    >>> from lipot.models import embedding_discriminator
    >>> critic = embedding_discriminator(code_size=4, clip=0.01)
    >>> bool((critic.predict(np.ones((8, 4)), verbose=0) < 0.0).all())
    True
    """
    blocks = blocks_from(layers) if clip is None else _ClippedBlocks(clip)
    body = []
    for width in _widths(units, 4):
        body += [blocks.dense(width), blocks.activation()]
    body.append(blocks.head(1))
    if clip is not None:
        body.append(keras.layers.Activation("log_sigmoid", name="log_d"))
    return keras.Sequential([keras.Input((code_size,)), *body], name="discriminator")


class _ClippedBlocks(PlainBlocks):
    def __init__(self, clip):
        self.constraint = WeightClipConstraint(clip)

    def dense(self, units):
        return keras.layers.Dense(
            units, kernel_constraint=self.constraint, bias_constraint=self.constraint
        )

    def head(self, classes):
        return self.dense(classes)


def _widths(units, count):
    return (units,) * count if isinstance(units, int) else tuple(units)
