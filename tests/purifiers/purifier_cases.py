"""A small instance of every purifier that is trained, for images of 8x8."""

import keras

from lipot import attacks, purifiers
from lipot.layers import SpectralDense

SHAPE = (8, 8, 1)


def classifier():
    layers = [keras.layers.Flatten(), keras.layers.Dense(32, "relu"), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input(SHAPE), *layers], name="small")


def ape_gan(attacked=None, filters=4):
    return purifiers.APEGAN(
        purifiers.image_autoencoder(SHAPE, filters=filters),
        purifiers.image_discriminator(SHAPE, filters=4),
        attacks.FGSM(0.2),
        classifier() if attacked is None else attacked,
    )


def defense_gan():
    # Without convolutions, which take long to compile.
    layers = [keras.layers.Dense(64, "sigmoid"), keras.layers.Reshape(SHAPE)]
    generator = keras.Sequential([keras.Input((8,)), *layers])
    critic = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), SpectralDense(1)])
    return purifiers.DefenseGAN(generator, critic, steps=20, restarts=3, seed=1)


def diffusion_purifier():
    # Not a U-Net, which takes long to compile.
    images, step = keras.Input(SHAPE), keras.Input(())
    shift = keras.layers.Dense(1)(purifiers.StepEmbedding(4)(step))
    noise = keras.layers.Conv2D(1, 3, padding="same")(images)
    network = keras.Model([images, step], noise + keras.layers.Reshape((1, 1, 1))(shift))
    return purifiers.DiffusionPurifier(network, steps=25, level=0.12, seed=1)


def sparse_transform():
    return purifiers.SparseTransform(size=4, strides=2, weight=0.02, iterations=20)


TRAINED = {
    "APEGAN": ape_gan,
    "DefenseGAN": defense_gan,
    "DiffusionPurifier": diffusion_purifier,
    "SparseTransform": sparse_transform,
}
# Those that draw random numbers at inference.
RANDOM = {"DefenseGAN", "DiffusionPurifier"}
