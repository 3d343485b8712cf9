"""The small convolutional network that adversarial training is tried on with MNIST."""

import keras

from lipot.models.blocks import blocks_from
from lipot.models.builders import checked


@checked
def carlini_wagner(input_shape=(28, 28, 1), classes=10, dropout=0.5, layers=None):
    """Builds the MNIST network of Carlini and Wagner: four convolutions and three dense layers.

    Convolutions 32, 32, pooling, 64, 64, pooling, dense 200, dropout, dense 200, logits; no
    padding, so that 1,024 numbers of a 28x28 image reach the first dense layer. The second
    pooling layer is named `pool_2`: the middle layer of GOT's Table 4.

    Args:
        input_shape: Shape of one image, height and width at least 16.
        classes: Positive int, number of classes.
        dropout: Float from 0 to 1, rate of the dropout between the two dense layers.
        layers: `lipot` for the 1-Lipschitz twin; plain Keras layers by default.

    Returns:
        A `keras.Sequential` from images to logits.

    Reference:
        Carlini and Wagner, "Towards evaluating the robustness of neural networks", 2017.

    Example:

    >>> from lipot.models import carlini_wagner
    >>> carlini_wagner().layers[-1].input.shape[-1]
    200
    """
    blocks = blocks_from(layers)
    body = []
    for index, filters in enumerate((32, 64), start=1):
        for _ in range(2):
            body += [blocks.conv(filters, 3, padding="valid"), blocks.activation()]
        body.append(blocks.pool(f"pool_{index}"))
    body += [keras.layers.Flatten(), blocks.dense(200), blocks.activation()]
    body += [blocks.dropout(dropout), blocks.dense(200), blocks.activation()]
    return keras.Sequential(
        [keras.Input(input_shape), *body, blocks.head(classes)], name="carlini_wagner"
    )
