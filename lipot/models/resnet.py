"""ResNet-18 and PreActResNet-18 for small images."""

import keras

from lipot.models.blocks import blocks_from, stack
from lipot.models.builders import checked

STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))


@checked
def resnet18(input_shape=(32, 32, 3), classes=10, layers=None):
    """Builds ResNet-18 with the stem for small images: one 3x3 convolution, no pooling.

    Args:
        input_shape: Shape of one image.
        classes: Positive int, number of classes.
        layers: `lipot` for the 1-Lipschitz twin; plain Keras layers by default.

    Returns:
        A `keras.Model` from images to logits.

    Reference:
        He et al., "Deep residual learning for image recognition", 2016.

    Example:

    >>> from lipot.models import resnet18
    >>> resnet18((8, 8, 3)).output_shape
    (None, 10)
    """
    blocks = blocks_from(layers)
    inputs = keras.Input(input_shape)
    x = stack(inputs, *_convolution(blocks, 64, 3), blocks.activation())
    for filters, strides in STAGES:
        x = _block(blocks, x, filters, strides)
        x = _block(blocks, x, filters, 1)
    return keras.Model(inputs, blocks.head(classes)(blocks.global_pool()(x)), name="resnet18")


@checked
def preact_resnet18(input_shape=(32, 32, 3), classes=10, layers=None):
    """Builds PreActResNet-18: ResNet-18 with normalization and activation before convolutions.

    Args:
        input_shape: Shape of one image.
        classes: Positive int, number of classes.
        layers: `lipot` for the 1-Lipschitz twin; plain Keras layers by default.

    Returns:
        A `keras.Model` from images to logits.

    Reference:
        He et al., "Identity mappings in deep residual networks", 2016.

    Example:

    >>> from lipot.models import preact_resnet18
    >>> preact_resnet18((8, 8, 3), classes=5).output_shape
    (None, 5)
    """
    blocks = blocks_from(layers)
    inputs = keras.Input(input_shape)
    x = blocks.conv(64, 3, use_bias=False)(inputs)
    for filters, strides in STAGES:
        x = preactivated_block(blocks, x, filters, strides)
        x = preactivated_block(blocks, x, filters, 1)
    x = stack(x, blocks.normalization(), blocks.activation(), blocks.global_pool())
    return keras.Model(inputs, blocks.head(classes)(x), name="preact_resnet18")


def preactivated_block(blocks, x, filters, strides):
    """Applies a residual block whose normalization and activation come first.

    Args:
        blocks: Pieces from `blocks_from`.
        x: Symbolic tensor `(batch, height, width, channels)`.
        filters: Number of output channels.
        strides: Stride of the first convolution.

    Returns:
        Symbolic tensor `(batch, height / strides, width / strides, filters)`.
    """
    before = stack(x, blocks.normalization(), blocks.activation())
    shortcut = x
    if strides != 1 or x.shape[-1] != filters:
        shortcut = blocks.conv(filters, 1, strides, use_bias=False)(before)
    after = stack(
        before,
        blocks.conv(filters, 3, strides, use_bias=False),
        blocks.normalization(),
        blocks.activation(),
        blocks.conv(filters, 3, use_bias=False),
    )
    return blocks.sum()([shortcut, after])


def _block(blocks, x, filters, strides):
    shortcut = x
    if strides != 1 or x.shape[-1] != filters:
        shortcut = stack(x, *_convolution(blocks, filters, 1, strides))
    after = stack(
        x,
        *_convolution(blocks, filters, 3, strides),
        blocks.activation(),
        *_convolution(blocks, filters, 3),
    )
    return blocks.activation()(blocks.sum()([shortcut, after]))


def _convolution(blocks, filters, kernel_size, strides=1):
    return blocks.conv(filters, kernel_size, strides, use_bias=False), blocks.normalization()
