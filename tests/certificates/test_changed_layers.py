"""Layers whose arguments are changed after a model was made of them."""

import keras
import numpy as np
import pytest
from keras import layers

import lipot
from lipot.layers.layer_bounds import layer_bound
from tests.helpers import explicit_matrix

# A layer before a mean, and what is changed in it: the mean is then of fewer values.
CHANGES = {
    "strides of a convolution": (lambda: layers.Conv2D(3, 3), {"strides": (2, 2)}),
    "padding of a convolution": (lambda: layers.Conv2D(3, 3, padding="same"), {"padding": "valid"}),
    "windows": (lambda: layers.MaxPooling2D(2, strides=1), {"pool_size": (4, 4)}),
    "cropping": (lambda: layers.Cropping2D(0), {"cropping": ((2, 2), (2, 2))}),
    "repetitions": (lambda: layers.UpSampling2D(2), {"size": (1, 1)}),
    "a layer of one's own": (lambda: Thinned(), {"step": 3}),
}


@keras.saving.register_keras_serializable(package="tests")
class Thinned(layers.Layer):
    """Keeps every value, or one of some, and does not say what shape that gives."""

    step = 1

    def call(self, inputs):
        return inputs[:, :: self.step, :: self.step]


@lipot.certificates.register_bound(Thinned)
def thinned(layer, input_shape, norm):
    return 1.0


@pytest.mark.parametrize("norm", [2, "inf"])
@pytest.mark.parametrize("make, changes", CHANGES.values(), ids=CHANGES)
def test_a_layer_that_gives_other_sizes_by_now_is_refused(make, changes, norm):
    mean = layers.GlobalAveragePooling2D()
    model = keras.Sequential([keras.Input((6, 6, 2)), make(), mean])
    assert lipot.lipschitz_constant(model, norm) > 0.0
    for name, value in changes.items():
        setattr(model.layers[0], name, value)
    with pytest.raises(ValueError, match="other sizes than its graph says.*made anew"):
        lipot.lipschitz_constant(model, norm)


# Affine layers with weights, and the inputs that they are built for.
AFFINE = {
    "dense": (lambda: layers.Dense(4), (4,)),
    "einsum": (lambda: layers.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d"), (4, 4)),
    "normalization": (layers.BatchNormalization, (3, 4)),
    "sequences": (lambda: layers.Conv1D(4, 2, padding="causal"), (4, 4)),
    "images": (lambda: layers.Conv2D(4, 2, groups=2), (3, 3, 4)),
    "volumes": (lambda: layers.Conv3D(4, 2, groups=2), (2, 3, 2, 4)),
    "transposed": (lambda: layers.Conv2DTranspose(4, 2, strides=2), (2, 2, 4)),
    "depthwise": (lambda: layers.DepthwiseConv2D(2, depth_multiplier=2), (3, 3, 2)),
    "separable": (lambda: layers.SeparableConv2D(4, 2, depth_multiplier=2), (3, 3, 2)),
}


def drawn(make, shape):
    """A layer with large weights, but for the factors of a normalization, and a model of it."""
    layer, rng = make(), np.random.default_rng(0)
    model = keras.Sequential([keras.Input(shape), layer])
    for weight in layer.weights:
        size = 0.01 if weight.name == "gamma" else 1.0
        weight.assign(size * rng.uniform(0.1, 1.0, weight.shape))
    return layer, model


def changes_of(layer):
    """Every flag and number among the arguments of a layer, with other values."""
    for name, value in layer.get_config().items():
        if isinstance(value, bool):
            yield name, not value
        elif isinstance(value, int):
            yield from ((name, other) for other in (1, value + 1, 2 * value) if other != value)


@pytest.mark.parametrize("norm", [2, "inf"])
@pytest.mark.parametrize("make, shape", AFFINE.values(), ids=AFFINE)
def test_no_flag_or_number_changed_later_leaves_a_constant_too_small(make, shape, norm):
    """A call reads some of them and others not, as the groups that the kernel has already."""
    for name, value in [*changes_of(drawn(make, shape)[0])]:
        layer, model = drawn(make, shape)
        setattr(layer, name, value)
        try:
            constant = lipot.lipschitz_constant(model, norm)
        except (TypeError, ValueError):
            continue
        assert constant >= reached(layer, shape, norm) * (1.0 - 1e-5), (name, value)


@pytest.mark.parametrize("kind", ["sequences", "images", "depthwise", "separable"])
def test_a_kernel_rounds_as_large_as_it_is_whatever_its_layer_says(kind):
    layer, model = drawn(*AFFINE[kind])
    before = layer_bound(layer, model.input_shape)
    layer.kernel_size = (1,) * len(layer.kernel_size)
    after = layer_bound(layer, model.input_shape)
    assert (after.lipschitz, after.gain) == (before.lipschitz, before.gain)


def reached(layer, shape, norm):
    """Norm of an affine layer's matrix, or zero where it does not run by now."""
    try:
        matrix = explicit_matrix(layer, shape).T
    except Exception:  # Each framework has errors of its own.
        return 0.0
    return np.linalg.norm(matrix, 2 if norm == 2 else np.inf)


@pytest.mark.parametrize("kind", [layers.AveragePooling2D, layers.MaxPooling1D])
def test_a_pooling_of_another_kind_than_its_class_is_refused(kind):
    layer = kind(2, strides=1)
    model = keras.Sequential([keras.Input((4, 4, 2) if "2D" in kind.__name__ else (4, 2)), layer])
    assert lipot.lipschitz_constant(model) > 0.0
    layer.pool_mode = {"max": "average", "average": "max"}[layer.pool_mode]
    with pytest.raises(ValueError, match="pool_mode"):
        lipot.lipschitz_constant(model)


def test_a_negative_epsilon_is_refused():
    layer, model = drawn(lambda: layers.BatchNormalization(epsilon=-0.09), (4,))
    with pytest.raises(ValueError, match="an epsilon that are not negative"):
        lipot.lipschitz_constant(model)
