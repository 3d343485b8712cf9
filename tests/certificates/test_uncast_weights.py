"""Weights that Keras does not round to the type that their layer computes in."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import lipot

# In bfloat16 it rounds to 1.
VALUE = 1.0029


class Uncast(layers.Dense):
    """A dense layer whose kernel asks not to be cast."""

    def build(self, input_shape):
        super().build(input_shape)
        shape = self._kernel.shape
        self._kernel = keras.Variable(np.full(shape, VALUE, "float32"), autocast=False)


def of_one_layer(make, shape):
    layer = make()
    model = keras.Sequential([keras.Input(shape), layer])
    return layer, model


def array(layer, name):
    """Puts an array in the place of a weight; the variable goes on to be tracked."""
    shape = getattr(layer, name).shape
    setattr(layer, name, ops.full(shape, VALUE, dtype="float32"))


# Layers in bfloat16 on float32 weights, their inputs, and a weight.
REPLACED = {
    "dense": (layers.Dense, (6,), "_kernel"),
    "bias": (layers.Dense, (6,), "bias"),
    "einsum": (lambda n, **k: layers.EinsumDense("ab,bc->ac", n, **k), (6,), "_kernel"),
    "images": (lambda n, **k: layers.Conv2D(n, 2, **k), (3, 3, 2), "_kernel"),
    "sequences": (lambda n, **k: layers.Conv1D(n, 2, **k), (4, 2), "_kernel"),
    "volumes": (lambda n, **k: layers.Conv3D(n, 2, **k), (2, 2, 2, 2), "_kernel"),
    "transposed": (lambda n, **k: layers.Conv2DTranspose(n, 2, **k), (3, 3, 2), "kernel"),
    "depthwise": (lambda n, **k: layers.DepthwiseConv2D(2, **k), (3, 3, 2), "kernel"),
    "separable": (
        lambda n, **k: layers.SeparableConv2D(n, 2, **k),
        (3, 3, 2),
        "pointwise_kernel",
    ),
    "patches": (lambda n, **k: lipot.layers.PatchEmbedding(2, n, **k), (4, 4, 1), "kernel"),
}


@pytest.mark.parametrize("make, shape, name", REPLACED.values(), ids=REPLACED)
def test_an_array_in_the_place_of_a_weight_is_refused_in_half_precision(make, shape, name):
    layer, model = of_one_layer(lambda: make(3, dtype="mixed_bfloat16"), shape)
    assert lipot.lipschitz_constant(model) > 0.0
    array(layer, name)
    with pytest.raises(ValueError, match="Keras does not cast its"):
        lipot.lipschitz_constant(model)


def test_an_array_of_the_layers_own_type_will_do():
    layer, model = of_one_layer(lambda: layers.Dense(6), (6,))
    array(layer, "_kernel")
    assert lipot.lipschitz_constant(model) == pytest.approx(6.0 * VALUE, rel=1e-6)


def test_a_variable_that_asks_not_to_be_cast_is_refused_in_half_precision():
    """Keras multiplies by 1.0029 where a bound of what the layer's type holds would say 1."""
    layer, model = of_one_layer(lambda: Uncast(6, dtype="mixed_bfloat16", use_bias=False), (6,))
    reached = float(ops.norm(ops.cast(layer(np.ones((1, 6), "float32")), "float32")))
    assert reached > 6.01 * np.sqrt(6.0)
    with pytest.raises(ValueError, match="Keras does not cast its `kernel`"):
        lipot.lipschitz_constant(model)
    whole = keras.Sequential([*model.layers, layers.Dense(2, dtype="float32")])
    with pytest.raises(ValueError, match="Keras does not cast its `kernel`"):
        lipot.certify(keras.Sequential([keras.Input((6,)), whole]), np.ones((1, 6)))
    single = of_one_layer(lambda: Uncast(6), (6,))[1]
    assert lipot.lipschitz_constant(single) == pytest.approx(6.0 * VALUE, rel=1e-6)


# Beside those above, what a call reads of a layer and values would be repeated to meet.
READ = {
    "bias of one unit": (lambda n: layers.Dense(1), (6,), "bias"),
    "distances": (lambda n: lipot.layers.LInfDistanceDense(1), (6,), "bias"),
    "positions": (lambda n: lipot.layers.PositionEmbedding(), (1,), "embedding"),
    "factors": (lambda n: layers.BatchNormalization(), (3, 1), "gamma"),
    "variances": (lambda n: layers.Normalization(), (3, 1), "variance"),
    "angles": (lambda n: lipot.layers.Householder(), (2,), "theta"),
}


@pytest.mark.parametrize(
    "make, shape, name", [*REPLACED.values(), *READ.values()], ids=[*REPLACED, *READ]
)
def test_an_array_of_another_shape_in_the_place_of_a_weight_is_refused(make, shape, name):
    layer, model = of_one_layer(lambda: make(3), shape)
    assert lipot.lipschitz_constant(model) > 0.0
    built = getattr(layer, name).shape
    setattr(layer, name, ops.ones((*built[:-1], 9)))
    with pytest.raises(ValueError, match="as it was built|it was built for"):
        lipot.lipschitz_constant(model)
