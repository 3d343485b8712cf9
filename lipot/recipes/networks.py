"""The plain networks that the recipes train, for images and for vectors."""

import keras

from lipot.models.builders import checked


@checked
def plain_classifier(input_shape, units):
    """Builds a small stock network: two convolutions for images, else dense layers.

    Args:
        input_shape: Shape of one input, `(rows, columns, channels)` or `(features,)`.
        units: Positive int, number of classes.

    Returns:
        An uncompiled `keras.Sequential` from inputs to logits.

    Example:

    >>> plain_classifier((8, 8, 1), 10).output_shape, plain_classifier((2,), 2).output_shape
    ((None, 10), (None, 2))
    """
    hidden = []
    if len(input_shape) == 3:
        for filters in (32, 64):
            hidden.append(keras.layers.Conv2D(filters, 3, 2, padding="same", activation="relu"))
        hidden.append(keras.layers.Flatten())
    hidden += [keras.layers.Dense(128, activation="relu") for _ in range(2)]
    head = keras.layers.Dense(units)
    return keras.Sequential([keras.Input(input_shape), *hidden, head], name="classifier")


@checked
def dense_encoder(features, code_size):
    """Builds an encoder from vectors to codes, for data that are no images.

    Example:

    >>> dense_encoder(2, 4).output_shape
    (None, 4)
    """
    hidden = [keras.layers.Dense(64, activation="relu") for _ in range(2)]
    parts = [keras.Input((features,)), *hidden, keras.layers.Dense(code_size)]
    return keras.Sequential(parts, name="encoder")
