"""The pieces the architectures are made of, in two kinds: plain Keras and 1-Lipschitz."""

import keras

from lipot import checks


class PlainBlocks:
    """Stock Keras layers: ReLU, max pooling, batch normalization, residual sums."""

    def conv(self, filters, kernel_size, strides=1, use_bias=True, padding="same"):
        return keras.layers.Conv2D(
            filters,
            kernel_size,
            strides,
            padding=padding,
            use_bias=use_bias,
            kernel_initializer="he_normal",
        )

    def dense(self, units):
        return keras.layers.Dense(units)

    def head(self, classes):
        return keras.layers.Dense(classes, name="logits")

    def activation(self):
        return keras.layers.ReLU()

    def pool(self, name=None):
        return keras.layers.MaxPooling2D(name=name)

    def global_pool(self):
        return keras.layers.GlobalAveragePooling2D()

    def normalization(self):
        return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)

    def dropout(self, rate):
        return keras.layers.Dropout(rate)

    def sum(self):
        return keras.layers.Add()


class LipschitzBlocks:
    """The same pieces from `lipot.layers`, each 1-Lipschitz.

    Normalization and dropout become the identity, and a residual sum becomes an average:
    `(x + F(x)) / 2` is 1-Lipschitz where `F` is.

    Args:
        layers: The module `lipot.layers`.
    """

    def __init__(self, layers):
        self.layers = layers

    def conv(self, filters, kernel_size, strides=1, use_bias=True, padding="same"):
        return self.layers.SpectralConv2D(
            filters, kernel_size, strides, padding=padding, use_bias=use_bias
        )

    def dense(self, units):
        return self.layers.SpectralDense(units)

    def head(self, classes):
        return self.layers.FrobeniusDense(classes, disjoint_neurons=True, name="logits")

    def activation(self):
        return self.layers.GroupSort2()

    def pool(self, name=None):
        return self.layers.ScaledL2NormPooling2D(name=name)

    def global_pool(self):
        return self.layers.ScaledGlobalL2NormPooling2D()

    def normalization(self):
        return keras.layers.Identity()

    def dropout(self, rate):
        return keras.layers.Identity()

    def sum(self):
        return keras.layers.Average()


def blocks_from(layers):
    """Returns the pieces that a `layers` argument asks for.

    Args:
        layers: `None` or `keras.layers` for plain networks; `lipot` or `lipot.layers` for their
            1-Lipschitz twins.
    """
    layers = getattr(layers, "layers", layers)
    if layers is None or layers is keras.layers:
        return PlainBlocks()
    if hasattr(layers, "SpectralConv2D"):
        return LipschitzBlocks(layers)
    raise checks.invalid("layers", "None, keras.layers or lipot.layers", layers)


def stack(tensor, *layers):
    """Applies layers one after the other."""
    for layer in layers:
        tensor = layer(tensor)
    return tensor
