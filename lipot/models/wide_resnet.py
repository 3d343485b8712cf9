"""Wide residual networks for small images."""

import keras

from lipot import checks
from lipot.models.blocks import blocks_from, stack
from lipot.models.builders import checked
from lipot.models.resnet import preactivated_block


@checked
def wide_resnet(depth=34, width=10, input_shape=(32, 32, 3), classes=10, layers=None):
    """Builds a wide residual network, WRN-`depth`-`width`.

    Args:
        depth: Positive int, number of convolutions on the longest path: 6 n + 4. The papers use
            34 and 28.
        width: Positive int, factor of the number of channels.
        input_shape: Shape of one image.
        classes: Positive int, number of classes.
        layers: `lipot` for the 1-Lipschitz twin; plain Keras layers by default.

    Returns:
        A `keras.Model` from images to logits.

    Reference:
        Zagoruyko and Komodakis, "Wide residual networks", 2016.

    Example:

    >>> from lipot.models import wide_resnet
    >>> wide_resnet(depth=10, width=1, input_shape=(8, 8, 3)).name
    'wide_resnet_10_1'
    """
    if depth < 10 or (depth - 4) % 6:
        raise checks.invalid("depth", "6 n + 4 with n at least 1, such as 28 or 34", depth)
    blocks = blocks_from(layers)
    inputs = keras.Input(input_shape)
    x = blocks.conv(16, 3, use_bias=False)(inputs)
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        for index in range((depth - 4) // 6):
            x = preactivated_block(blocks, x, filters * width, strides if index == 0 else 1)
    x = stack(x, blocks.normalization(), blocks.activation(), blocks.global_pool())
    return keras.Model(inputs, blocks.head(classes)(x), name=f"wide_resnet_{depth}_{width}")
