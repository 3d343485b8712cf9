"""The plain networks that the recipes train, for images and for vectors."""

import keras
import numpy as np


def plain_classifier(input_shape, units):
    """Builds a small stock network: two convolutions for images, else dense layers.

    Args:
        input_shape: Shape of one input, `(rows, columns, channels)` or `(features,)`.
        units: Number of classes.

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


def dense_encoder(features, code_size):
    """Builds an encoder from vectors to codes, for data that are no images.

    Example:

    >>> dense_encoder(2, 4).output_shape
    (None, 4)
    """
    hidden = [keras.layers.Dense(64, activation="relu") for _ in range(2)]
    parts = [keras.Input((features,)), *hidden, keras.layers.Dense(code_size)]
    return keras.Sequential(parts, name="encoder")


def attack_range(data):
    """The arguments of an attack that keep its points in the range of a data set."""
    low, high = data.clip_values or (None, None)
    return {"clip_min": low, "clip_max": high}


def default_eps(data):
    """The l-infinity radius to train against: a tenth of the range, or of the spread, of data.

    Of colour images 8/255 of the range, as the field takes it: a tenth hides what is on them.

    Example:

    >>> from lipot import datasets
    >>> default_eps(datasets.load("digits"))
    0.1
    """
    if data.clip_values is not None:
        low, high = data.clip_values
        colour = data.x_train.ndim == 4 and data.x_train.shape[-1] == 3
        return (8 / 255 if colour else 0.1) * (high - low)
    return 0.1 * float(np.std(data.x_train))
