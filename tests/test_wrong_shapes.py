"""What is built for one shape and called with another says so before it computes anything."""

import keras
import numpy as np
import pytest

from lipot import layers
from lipot.models import Purified
from lipot.purifiers import MedianFilter
from tests.public_classes import make, public_classes
from tests.purifiers.purifier_cases import SHAPE, TRAINED, classifier

PURIFIERS = {"MedianFilter": MedianFilter, **TRAINED}
# Those that act on the last axis, or on each value, take one more or one fewer before it.
ANY_RANK = {
    *("FrobeniusDense", "FullSort", "GroupSort", "GroupSort2", "Householder", "LInfDistanceDense"),
    *("MaxMin", "PartialAbs", "SDPResidualDense", "SpectralDense"),
}
RANKED = sorted(
    {*public_classes("layers", keras.layers.Layer)} - {"ConvexInterpolation"} - ANY_RANK
)
FLAT = {"SelfAttention": (2, 8, 8), "OrthogonalConv1D": (2, 8, 8)}


def _half(shape):
    return np.full(shape, 0.5, "float32")


def _refuses(called, shape):
    for wrong in (shape[:-1], (*shape, 1)):
        with pytest.raises(ValueError, match="expected (ndim|shape)=") as error:
            called(_half(wrong))
        assert str(wrong) in str(error.value)


@pytest.mark.parametrize("name", RANKED)
def test_a_built_layer_refuses_another_rank(name):
    layer, shape = make("layers", name), FLAT.get(name, (2, 8, 8, 8))
    layer(_half(shape))
    _refuses(layer, shape)


@pytest.mark.parametrize("name", PURIFIERS)
def test_a_built_purifier_refuses_images_without_channels(name):
    purifier = PURIFIERS[name]()
    purifier(_half((2, *SHAPE)))
    _refuses(purifier, (2, *SHAPE))
    with pytest.raises(ValueError, match="expected (axis|shape)"):
        purifier(_half((2, 8, 8, 2)))


@pytest.mark.parametrize("backward", ["identity", "exact"])
def test_a_built_model_around_a_purifier_refuses_images_without_channels(backward):
    model = Purified(MedianFilter(), classifier(), backward)
    _refuses(model, (2, *SHAPE))
    with pytest.raises(ValueError, match="expected ndim=4, found ndim=3"):
        model.predict(_half((2, 8, 8)), verbose=0)


def test_sides_may_still_differ():
    pooled = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    network = keras.Sequential([keras.Input((None, None, 1)), *pooled])
    model = Purified(MedianFilter(), network)
    assert [model(_half((2, n, n, 1))).shape for n in (8, 12)] == [(2, 3), (2, 3)]
    branch = layers.LipschitzResidual([keras.layers.ReLU()])
    assert [branch(_half((2, n, n, 1))).shape for n in (8, 12)] == [(2, 8, 8, 1), (2, 12, 12, 1)]
