"""The networks of the purifiers, for small images such as 28x28 and 32x32."""

import math

import keras
from keras import ops

from lipot import checks, layers
from lipot.models.builders import checked


@checked
def code_generator(image_shape=(28, 28, 1), code_size=64, filters=64):
    """Builds a generator from codes to images in [0, 1]: two transposed convolutions.

    Args:
        image_shape: Shape of one image, sides divisible by 4.
        code_size: Positive int, dimension of the code.
        filters: Positive int, channels after the first transposed convolution; twice as many
            before it.

    Returns:
        A `keras.Sequential` from codes to images.

    Example:

    >>> code_generator((28, 28, 1), code_size=8, filters=4).output_shape
    (None, 28, 28, 1)
    """
    height, width, channels = _quarters(image_shape)
    return keras.Sequential(
        [
            keras.Input((code_size,)),
            keras.layers.Dense(height * width * 2 * filters, "relu"),
            keras.layers.Reshape((height, width, 2 * filters)),
            keras.layers.Conv2DTranspose(filters, 4, 2, padding="same", activation="relu"),
            keras.layers.Conv2DTranspose(channels, 4, 2, padding="same", activation="sigmoid"),
        ],
        name="generator",
    )


@checked
def wasserstein_critic(image_shape=(28, 28, 1), filters=32):
    """Builds a 1-Lipschitz critic from images to one number: two convolutions and two dense layers.

    Args:
        image_shape: Shape of one image, sides divisible by 4.
        filters: Positive int, channels of the first convolution, an even number; twice as many
            after it.

    Returns:
        A `keras.Sequential` from images to one number.

    Example:

    >>> wasserstein_critic((28, 28, 1), filters=4).output_shape
    (None, 1)
    """
    _quarters(image_shape)
    return keras.Sequential(
        [
            keras.Input(image_shape),
            layers.SpectralConv2D(filters, 4, strides=2),
            layers.GroupSort2(),
            layers.SpectralConv2D(2 * filters, 4, strides=2),
            layers.GroupSort2(),
            keras.layers.Flatten(),
            layers.SpectralDense(4 * filters),
            layers.GroupSort2(),
            layers.FrobeniusDense(1),
        ],
        name="critic",
    )


@checked
def image_autoencoder(image_shape=(28, 28, 1), filters=64):
    """Builds a network from images to images in [0, 1] through half and a quarter of the sides.

    Args:
        image_shape: Shape of one image, sides divisible by 4.
        filters: Positive int, channels at half of the sides; twice as many at a quarter.

    Returns:
        A `keras.Sequential`.

    Example:

    >>> image_autoencoder((32, 32, 3), filters=4).output_shape
    (None, 32, 32, 3)
    """
    _, _, channels = _quarters(image_shape)
    return keras.Sequential(
        [
            keras.Input(image_shape),
            *_strided(filters),
            *_strided(2 * filters),
            keras.layers.Conv2DTranspose(filters, 4, 2, padding="same"),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
            keras.layers.Conv2DTranspose(channels, 4, 2, padding="same", activation="sigmoid"),
        ],
        name="autoencoder",
    )


@checked
def image_discriminator(image_shape=(28, 28, 1), filters=64):
    """Builds a network from images to the logit of their being clean.

    Args:
        image_shape: Shape of one image, sides divisible by 4.
        filters: Positive int, channels of the first convolution; twice as many after it.

    Returns:
        A `keras.Sequential`.

    Example:

    >>> image_discriminator((32, 32, 3), filters=4).output_shape
    (None, 1)
    """
    _quarters(image_shape)
    return keras.Sequential(
        [
            keras.Input(image_shape),
            keras.layers.Conv2D(filters, 4, 2, padding="same"),
            keras.layers.LeakyReLU(0.2),
            keras.layers.Conv2D(2 * filters, 4, 2, padding="same"),
            keras.layers.LeakyReLU(0.2),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ],
        name="discriminator",
    )


@checked
def denoising_unet(image_shape=(28, 28, 1), filters=32):
    """Builds a small U-Net from images and steps of a diffusion to the noise in the images.

    Args:
        image_shape: Shape of one image, sides divisible by 4.
        filters: Positive int, channels at full size, a multiple of 8; twice as many below.

    Returns:
        A functional `keras.Model` of a pair of inputs, `(batch, ...)` and `(batch,)`.

    Reference:
        Ho, Jain and Abbeel, "Denoising diffusion probabilistic models", 2020, appendix B, in
        small.

    Example:

    >>> denoising_unet((28, 28, 1), filters=8).output_shape
    (None, 28, 28, 1)
    """
    _, _, channels = _quarters(image_shape)
    if filters % 8:
        raise checks.invalid("filters", "a multiple of 8", filters)
    images, steps = keras.Input(image_shape), keras.Input(())
    time = keras.layers.Dense(4 * filters, "swish")(StepEmbedding(2 * filters)(steps))
    x = keras.layers.Conv2D(filters, 3, padding="same")(images)
    kept = []
    for width in (filters, 2 * filters):
        x = _residual(x, time, width)
        kept.append(x)
        x = keras.layers.Conv2D(2 * filters, 3, 2, padding="same")(x)
    x = _residual(x, time, 2 * filters)
    for width in (2 * filters, filters):
        x = keras.layers.UpSampling2D(2)(x)
        x = _residual(keras.layers.Concatenate()([x, kept.pop()]), time, width)
    x = keras.layers.Activation("swish")(keras.layers.GroupNormalization(8)(x))
    noise = keras.layers.Conv2D(channels, 3, padding="same", kernel_initializer="zeros")(x)
    return keras.Model([images, steps], noise, name="unet")


@keras.saving.register_keras_serializable(package="lipot")
class StepEmbedding(keras.layers.Layer):
    """Sines and cosines of the number of a step, from fast to slow ones.

    Args:
        size: Even number of features.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch,)`.

    Output shape:
        `(batch, size)`.

    Example:

    >>> [round(float(v), 2) for v in StepEmbedding(4)(keras.ops.array([0.0]))[0]]
    [0.0, 0.0, 1.0, 1.0]
    """

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        # Half precision has no numbers for many steps.
        self.autocast = False
        self.size = checks.positive_int("size", size)
        if size % 2:
            raise checks.invalid("size", "an even positive integer", size)
        self.built = True

    def call(self, inputs):
        half = self.size // 2
        rates = ops.exp(-math.log(1e4) / half * ops.arange(half, dtype="float32"))
        angles = ops.cast(inputs, "float32")[:, None] * rates
        waves = ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)
        return ops.cast(waves, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.size)

    def get_config(self):
        return {**super().get_config(), "size": self.size}


def _residual(x, time, width):
    """Two convolutions around the features of the step, and a way past them."""
    shift = keras.layers.Reshape((1, 1, width))(keras.layers.Dense(width)(time))
    inner = keras.layers.Activation("swish")(keras.layers.GroupNormalization(8)(x))
    inner = keras.layers.Conv2D(width, 3, padding="same")(inner)
    inner = keras.layers.Add()([inner, shift])
    inner = keras.layers.Activation("swish")(keras.layers.GroupNormalization(8)(inner))
    inner = keras.layers.Conv2D(width, 3, padding="same")(inner)
    if x.shape[-1] != width:
        x = keras.layers.Conv2D(width, 1)(x)
    return keras.layers.Add()([x, inner])


def _strided(filters):
    return [
        keras.layers.Conv2D(filters, 4, 2, padding="same"),
        keras.layers.BatchNormalization(momentum=0.9),
        keras.layers.LeakyReLU(0.2),
    ]


def _quarters(image_shape):
    """A quarter of the height, of the width, and the channels."""
    known = len(image_shape) == 3 and None not in image_shape
    if not known or image_shape[0] % 4 or image_shape[1] % 4:
        raise checks.invalid(
            "image_shape", "(height, width, channels) with sides divisible by 4", image_shape
        )
    return image_shape[0] // 4, image_shape[1] // 4, image_shape[2]
