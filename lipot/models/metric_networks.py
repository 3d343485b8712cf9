"""Shallow networks whose l2 distance chooses neighbors: deep metric learning."""

import keras

from lipot.layers.tokens import PatchEmbedding, SelfAttention
from lipot.models.builders import checked


@checked
def metric_resnet(input_shape=(32, 32, 3), code_size=64, *, filters=64):
    """Builds a convolutional residual network of three blocks.

    Args:
        input_shape: Shape of one image.
        code_size: Positive int, size of the codes, which have norm 1.
        filters: Positive int, channels of the first block; each next one has twice as many.

    Returns:
        A `keras.Model` from images to codes; train it with `TripletLoss`.

    Reference:
        Gai, Wang and Zhang, "OTAD", sections IV.D and V.A.

    Example:

    >>> metric_resnet((8, 8, 1), 4, filters=2).output_shape
    (None, 4)
    """
    inputs = keras.Input(input_shape)
    x = _convolve(inputs, filters, 1)
    for factor in (1, 2, 4):
        shortcut = keras.layers.Conv2D(factor * filters, 1, 2, use_bias=False)(x)
        x = _convolve(x, factor * filters, 2)
        x = keras.layers.Conv2D(factor * filters, 3, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(keras.layers.Add()([x, shortcut]))
    codes = keras.layers.Dense(code_size)(keras.layers.GlobalAveragePooling2D()(x))
    codes = keras.layers.UnitNormalization()(codes)
    return keras.Model(inputs, codes, name="metric_resnet")


@checked
def metric_cnn(input_shape=(32, 32, 3), code_size=64, *, filters=32):
    """Builds a network of two convolutions.

    Args:
        input_shape: Shape of one image.
        code_size: Positive int, size of the codes, which have norm 1.
        filters: Positive int, channels of the first convolution; the second has twice as many.

    Returns:
        A `keras.Sequential` from images to codes.

    Example:

    >>> metric_cnn((8, 8, 1), 4, filters=2).output_shape
    (None, 4)
    """
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Conv2D(filters, 3, 2, padding="same", activation="relu"),
            keras.layers.Conv2D(2 * filters, 3, 2, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(code_size),
            keras.layers.UnitNormalization(),
        ],
        name="metric_cnn",
    )


@checked
def metric_transformer(input_shape=(32, 32, 3), code_size=64, *, patch_size=4, width=128, heads=8):
    """Builds a Vision Transformer of one block.

    Args:
        input_shape: Shape of one image.
        code_size: Positive int, size of the codes, which have norm 1.
        patch_size: Positive int, side of the square patches.
        width: Positive int, size of the tokens.
        heads: Positive int, number of attention heads.

    Returns:
        A `keras.Model` from images to codes.

    Example:

    >>> metric_transformer((8, 8, 1), 4, width=8, heads=2).output_shape
    (None, 4)
    """
    inputs = keras.Input(input_shape)
    x = PatchEmbedding(patch_size, width)(inputs)
    x = keras.layers.Add()([x, SelfAttention(heads)(x)])
    y = keras.layers.LayerNormalization(epsilon=1e-6)(x)
    y = keras.layers.Dense(width)(keras.layers.Dense(2 * width, "gelu")(y))
    x = keras.layers.Add()([x, y])
    codes = keras.layers.Dense(code_size)(keras.layers.GlobalAveragePooling1D()(x))
    codes = keras.layers.UnitNormalization()(codes)
    return keras.Model(inputs, codes, name="metric_transformer")


@checked
def metric_attention(input_shape=(32, 32, 3), code_size=64, *, patch_size=4, width=128, heads=8):
    """Builds a network of one attention block on patches.

    Args:
        input_shape: Shape of one image.
        code_size: Positive int, size of the codes, which have norm 1.
        patch_size: Positive int, side of the square patches.
        width: Positive int, size of the tokens.
        heads: Positive int, number of attention heads.

    Returns:
        A `keras.Sequential` from images to codes.

    Example:

    >>> metric_attention((8, 8, 1), 4, width=8, heads=2).output_shape
    (None, 4)
    """
    return keras.Sequential(
        [
            keras.Input(input_shape),
            PatchEmbedding(patch_size, width),
            SelfAttention(heads),
            keras.layers.Flatten(),
            keras.layers.Dense(code_size),
            keras.layers.UnitNormalization(),
        ],
        name="metric_attention",
    )


def _convolve(x, filters, strides):
    x = keras.layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)(x)
    return keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
