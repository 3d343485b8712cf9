"""What is built for one shape and called with another says so before it computes anything."""

import keras
import numpy as np
import pytest

from lipot import layers
from lipot.models import OTAD, Purified
from lipot.purifiers import MedianFilter
from tests.public_classes import make, public_classes
from tests.purifiers.purifier_cases import SHAPE, TRAINED, classifier

PURIFIERS = {"MedianFilter": MedianFilter, **TRAINED}
# Those that act on the last axis, or on each value, take one more or one fewer before it.
ANY_RANK = {
    *("FrobeniusDense", "FullSort", "GroupSort", "GroupSort2", "Householder", "LInfDistanceDense"),
    *("MaxMin", "PartialAbs", "SDPResidualDense", "SpectralDense"),
}
LAYERS = sorted({*public_classes("layers", keras.layers.Layer)} - {"ConvexInterpolation"})
FLAT = {"SelfAttention": (2, 8, 8), "OrthogonalConv1D": (2, 8, 8)}


def _half(shape):
    return np.full(shape, 0.5, "float32")


def _refuses(called, shape):
    for wrong in (shape[:-1], (*shape, 1)):
        with pytest.raises(ValueError, match="expected (ndim|shape)=") as error:
            called(_half(wrong))
        assert str(wrong) in str(error.value)


def _answers_as_it_says_or_refuses(layer, shape):
    try:
        assert layer(_half(shape)).shape == layer.compute_output_shape(shape)
    except ValueError as error:
        assert "xpected" in str(error) and str(shape[-1]) in str(error)


@pytest.mark.parametrize("name", LAYERS)
def test_a_built_layer_refuses_another_rank_and_channels_it_has_no_weights_for(name):
    layer, shape = make("layers", name), FLAT.get(name, (2, 8, 8, 8))
    layer(_half(shape))
    if name not in ANY_RANK:
        _refuses(layer, shape)
    for wrong in ((*shape[:-1], 1), (*shape[:-1], 9), (2, 7, *shape[2:])):
        _answers_as_it_says_or_refuses(layer, wrong)


def test_what_takes_three_inputs_refuses_those_that_do_not_belong_together():
    layer = layers.ConvexInterpolation()
    layer([_half((2, 3)), _half((2, 4, 3)), _half((2, 4, 3))])
    for wrong in (((2, 5), (2, 4, 3), (2, 4, 3)), ((2, 3), (2, 4, 3), (2, 5, 3)), ((2, 3),)):
        with pytest.raises(ValueError, match=r"Expected inputs of shapes \(batch, d\)"):
            layer([_half(shape) for shape in wrong])
    with pytest.raises(ValueError, match=r"Expected inputs of shapes \(batch, d\)"):
        layer(_half((2, 4, 3)))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_that_is_not_built_answers_or_refuses_inputs_of_any_rank(name):
    for shape in ((2,), (2, 8), (2, 8, 8), (2, 8, 8, 8), (2, 4, 8, 8, 8)):
        layer = make("layers", name)
        try:
            assert layer(_half(shape)).shape == layer.compute_output_shape(shape)
        except ValueError as error:
            assert "xpected" in str(error)


@pytest.mark.parametrize("metric", [None, keras.layers.Flatten])
def test_a_model_with_an_embedding_refuses_another_shape_however_it_is_asked(metric):
    backbone = keras.Sequential([keras.Input((3, 3, 2)), keras.layers.Rescaling(2.0)])
    parts = {"embedding": keras.layers.Conv2D(2, 2, 2), "metric": metric and metric()}
    model = OTAD(backbone, keras.layers.Flatten(), neighbors=2, **parts)
    model.adapt(np.random.default_rng(0).uniform(size=(5, 6, 6, 1)))
    assert model.predict(_half((2, 6, 6, 1)), verbose=0).shape == (2, 18)
    for wrong in ((2, 8, 8, 1), (2, 6, 6, 3), (2, 6, 6)):
        for ask in (model.__call__, model.predict, model.features, model.neighborhoods):
            with pytest.raises(ValueError, match="[Ee]xpected .*eceived"):
                ask(_half(wrong))


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
