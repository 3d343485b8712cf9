"""Small networks for 32 x 32 images, each 1-Lipschitz up to its last layer but for `stock`."""

import keras

import lipot
from lipot import layers
from lipot.math.scaling import wide_dtype

SHAPE = (32, 32, 3)


def spectral(filters=(32, 64, 64), dense=256):
    """Convolutions of 3 x 3 with sorting and pooling: the twin of deel-lip's network."""
    return _assembled(_pooled(filters, layers.SpectralConv2D), layers.SpectralDense(dense), _head())


def orthogonal(filters=(32, 128, 256), dense=256):
    """Orthogonal convolutions that shrink the image by their strides."""
    body = [
        part
        for count in filters
        for part in (layers.OrthogonalConv2D(count, 4, strides=2), layers.GroupSort2())
    ]
    return _assembled(body, layers.SpectralDense(dense), _head())


def lipnext(width=192, depth=4, patch_size=4, dense_layers=1):
    """LipNeXt of a size for two cores: all values of the image go on to the dense layers."""
    return lipot.models.lipnext(
        SHAPE,
        10,
        width,
        depth,
        patch_size=patch_size,
        pooling="flatten",
        dense_layers=dense_layers,
        center=0.0,
    )


def lipnext_of_patches(width=512, depth=12):
    """LipNeXt as its authors build it, with a free last layer, in the dtype policy at hand."""
    body = lipot.models.lipnext(SHAPE, 10, width, depth)
    features = body.layers[-2].output
    dense = keras.layers.Dense(10, kernel_initializer="orthogonal", dtype=features.dtype)
    return keras.Model(body.inputs, dense(features))


def pyramid(widths=(256, 512, 768), depth=3, dense=1024):
    """Orthogonal convolutions at 16, 8 and 4 pixels a side, for a GPU."""
    parts = [keras.layers.Rescaling(1.0, offset=-0.5)]
    for width in widths:
        sizes = [(4, 2)] + depth * [(3, 1)]
        for size, stride in sizes:
            convolution = layers.OrthogonalConv2D(width, size, strides=stride)
            parts += [convolution, layers.GroupSort2()]
    last = layers.SpectralConv2D(widths[-1], 2, strides=2)
    flat = keras.layers.Flatten()
    parts += [last, layers.GroupSort2(), flat, layers.SpectralDense(dense), layers.GroupSort2()]
    # Half precision would round the logits away; the policy's own type where it is finer.
    dtype = wide_dtype(keras.config.dtype_policy().compute_dtype)
    head = layers.FrobeniusDense(10, disjoint_neurons=True, dtype=dtype)
    return keras.Sequential([keras.Input(SHAPE), *parts, head])


def stock(filters=(32, 64, 64), dense=256):
    """What deel-lip exports of its network: kernels in stock layers."""

    def convolution(count, size):
        return keras.layers.Conv2D(count, size, padding="same")

    return _assembled(
        _pooled(filters, convolution), keras.layers.Dense(dense), keras.layers.Dense(10)
    )


def _pooled(filters, convolution):
    return [
        part
        for count in filters
        for part in (convolution(count, 3), layers.GroupSort2(), layers.ScaledL2NormPooling2D(2))
    ]


def _head():
    return layers.FrobeniusDense(10, disjoint_neurons=True)


def _assembled(body, dense, last):
    flat = keras.layers.Flatten()
    return keras.Sequential([keras.Input(SHAPE), *body, flat, dense, layers.GroupSort2(), last])
