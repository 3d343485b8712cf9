"""No subclass inherits a bound of something that it changed: by turns, of every name there is."""

from typing import Generic, TypeVar

import keras
import numpy as np
import pytest

from lipot import layers
from lipot.layers.kernel_layer import KernelLayer
from lipot.layers.layer_bounds import _BESIDE_THE_CALL, layer_bound, overrides
from lipot.layers.sdp_residual_layer import SDPResidualLayer
from lipot.math import linear_maps
from tests.helpers import explicit_matrix
from tests.layers.kernel_cases import CASES, kernel_layers
from tests.lipschitz import jacobians

# Python itself needs these to make a class, and a lookup that fails makes no layer.
_UNCHANGEABLE = {"__class__", "__new__", "__dict__", "__weakref__", "__abstractmethods__"}


def author_of(layer_class):
    return SDPResidualLayer if issubclass(layer_class, SDPResidualLayer) else KernelLayer


@pytest.mark.parametrize("name", kernel_layers())
def test_whoever_overrides_what_a_call_can_reach_is_another_layer(name):
    layer_class, free = getattr(layers, name), set()
    for attribute in sorted(set(dir(layer_class)) - _UNCHANGEABLE):
        changed = type("Changed", (layer_class,), {attribute: getattr(layer_class, attribute)})
        if attribute not in overrides(changed, author_of(layer_class)):
            free.add(attribute)
    assert free <= _BESIDE_THE_CALL
    # The layer's own class changes nothing that its bound is about.
    assert overrides(layer_class, author_of(layer_class)) == []


@pytest.mark.parametrize("name", kernel_layers())
@pytest.mark.parametrize("attribute", ["build", "condense"])
def test_what_is_free_to_override_changes_no_bound(name, attribute):
    layer_class = getattr(layers, name)
    options, shape = CASES[name][0]

    def changed(self, *args, **kwargs):
        outcome = getattr(layer_class, attribute)(self, *args, **kwargs)
        self.kernel_size, self.units, self.strides = (1, 1), 1, (3, 3)
        for weight in self.trainable_weights:
            weight.assign(2.0 * weight.value)
        return outcome

    subclass = type("Changed", (layer_class,), {attribute: changed})
    # A built layer refuses other arguments: what the subclass does comes before that, or raises.
    layer = subclass(**options)
    try:
        layer.build((None, *shape))
        getattr(layer, attribute)
    except ValueError as error:
        assert "is fixed once the layer is built" in str(error)
    bound = layer_bound(layer, (None, *shape)).lipschitz
    points = np.random.default_rng(0).normal(size=(4, *shape)).astype("float32")
    norms = np.linalg.norm(jacobians(layer, points), 2, axis=(1, 2))
    assert norms.max() <= bound * (1 + 1e-5)


@pytest.mark.parametrize(
    "layer, shape",
    [
        (lambda: keras.layers.LeakyReLU(0.1), (4,)),
        (lambda: keras.layers.Dense(2), (4,)),
        (lambda: keras.layers.DepthwiseConv2D(2), (4, 4, 2)),
        (keras.layers.BatchNormalization, (4,)),
        (lambda: layers.SpectralConv2D(2, 3), (4, 4, 2)),
    ],
)
def test_a_property_in_the_place_of_a_value_makes_another_layer(layer, shape):
    """It may say something else each time, as the random slope of a randomized ReLU does."""
    layer = layer()
    layer.build((None, *shape))
    instead = property(lambda self: 3.0, lambda self, value: None)
    kept = {*layer.get_config(), *(weight.name for weight in layer.trainable_weights)}
    kept = sorted(name for name in kept & set(vars(layer)) if not hasattr(type(layer), name))
    assert kept
    for name in kept:
        assert overrides(type("Changed", (type(layer),), {name: instead}), type(layer)) == [name]
    # Of their own, subclasses may have any.
    own = {"warmth": instead, "text": property(lambda self: "")}
    assert overrides(type("Extended", (type(layer),), own), type(layer)) == []


class Randomized(keras.layers.LeakyReLU):
    """Sets no slope, which its parent would, and says another one each time."""

    def __init__(self):
        keras.layers.Layer.__init__(self)
        self.slopes = [5.0, 0.1, 0.1]

    @property
    def negative_slope(self):
        return self.slopes.pop() if self.slopes else 5.0


def test_a_property_that_cannot_be_set_makes_another_layer_too():
    with pytest.raises(ValueError, match="it overrides `negative_slope` of LeakyReLU"):
        layer_bound(Randomized(), (None, 4))
    # A bound that had read the first slope would be too small for a later call.
    layer = Randomized()
    assert layer.negative_slope < 1.0
    found = [float(layer(np.full((1, 1), -1.0))[0, 0]) for _ in range(3)]
    assert min(found) == -5.0


class OfAnyType(keras.layers.ReLU, Generic[TypeVar("T")]):
    """A parameter of its type computes nothing."""


def test_a_parameter_of_its_type_makes_no_other_layer():
    assert layer_bound(OfAnyType(), (None, 4)).lipschitz == 1.0


class Padded(layers.SpectralConv2D):
    def padding_amounts(self):
        return ((3, 3), (3, 3))


class Extended(layers.FrobeniusConv2D):
    def extents(self):
        return (1, 1)


class Folded(layers.OrthogonalConv2DTranspose):
    def fold(self, outputs):
        return 3.0 * outputs


@pytest.mark.parametrize(
    "layer, shape",
    [
        (Padded(2, 3, padding="symmetric", use_bias=False), (4, 4, 2)),
        (Extended(2, 3, padding="circular", use_bias=False), (4, 4, 2)),
        (Folded(2, 4, strides=2, padding="circular", use_bias=False), (3, 3, 2)),
    ],
)
def test_names_that_mean_nothing_to_the_layer_change_nothing(layer, shape):
    layer.build((None, *shape))
    observed = np.linalg.norm(explicit_matrix(layer, shape), 2)
    assert observed <= layer_bound(layer, (None, *shape)).lipschitz * (1 + 1e-5)


def test_a_method_replaced_on_the_layer_itself_is_seen():
    layer = layers.SpectralDense(3)
    layer.build((None, 4))
    layer.call = lambda inputs, training=False: 3.0 * keras.ops.matmul(inputs, layer.kernel)
    with pytest.raises(ValueError, match="it overrides `call` of KernelLayer"):
        layer_bound(layer, (None, 4))


def test_a_map_of_ones_own_brings_its_own_norm():
    class Doubled(linear_maps.Conv2D):
        def apply(self, inputs, kernel):
            return 2.0 * super().apply(inputs, kernel)

        def norm(self, kernel, input_shape):
            return 2.0 * super().norm(kernel, input_shape)

        def sums(self, kernel):
            matrix, terms = super().sums(kernel)
            return 2.0 * matrix, terms

        def linf_norm(self, kernel, input_shape):
            return 2.0 * super().linf_norm(kernel, input_shape)

    layer = layers.SpectralConv2D(2, 3, use_bias=False)
    doubled = layers.SpectralConv2D(2, 3, use_bias=False)
    doubled.linear_map = Doubled(2, 3)
    for one in (layer, doubled):
        one.build((None, 4, 4, 2))
    doubled.kernel.assign(layer.kernel.value)
    assert doubled.lipschitz_bound == pytest.approx(2.0 * layer.lipschitz_bound)
    observed = np.linalg.norm(explicit_matrix(doubled, (4, 4, 2)), 2)
    assert layer.lipschitz_bound < observed <= doubled.lipschitz_bound * (1 + 1e-5)
