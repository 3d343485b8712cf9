"""What changed after programs were compiled is no part of any proof, nor of any answer after it."""

import keras
import numpy as np
import pytest
from keras import layers

import lipot
from tests.helpers import to_numpy

POINTS = np.random.default_rng(0).normal(size=(60, 2)).astype("float32")
QUERIES = np.random.default_rng(1).normal(size=(50, 2)).astype("float32")


def sequential(*parts):
    return keras.Sequential([keras.Input((2,)), *parts])


def signs():
    """A head of two logits, the first coordinate and its negative."""
    head = layers.Dense(2)
    head.build((None, 2))
    head.set_weights([np.array([[1.0, -1.0], [0.0, 0.0]]), np.zeros(2)])
    return head


def adapted(head=None, **parts):
    settings = {"neighbors": 3, "smoothness": 1.5, **parts}
    network = sequential(layers.Rescaling(1.0))
    return lipot.OTAD(network, head or signs(), **settings).adapt(POINTS)


def predictions(model):
    """Classes as a call and as `predict` say them."""
    return [
        np.argmax(to_numpy(scores), axis=1)
        for scores in (model(QUERIES), model.predict(QUERIES, verbose=0))
    ]


def check_proof(model):
    """A certificate is about the classes that the model says, in a call and in `predict`."""
    proof = lipot.certify(model, QUERIES)
    for classes in predictions(model):
        np.testing.assert_array_equal(classes, proof.predictions)


def normalization():
    layer = layers.Normalization()
    layer.adapt(POINTS)
    return layer


def readapt(layer):
    layer.adapt(POINTS * [1.0, 100.0] + [2.0, 0.0])


def reverse(layer):
    layer.scale = -1.0


@pytest.mark.parametrize("place", ["embedding", "metric"])
def test_a_normalization_adapted_anew(place):
    layer = normalization()
    model = adapted(**{place: sequential(layer)})
    model.predict(QUERIES, verbose=0)
    lipot.certify(model, QUERIES)
    readapt(layer)
    check_proof(model)


@pytest.mark.parametrize("place", ["embedding", "metric", "head"])
def test_a_factor_changed_inside_a_part(place):
    layer = layers.Rescaling(1.0)
    part = sequential(layer, signs()) if place == "head" else sequential(layer)
    model = adapted(**{place: part})
    model.predict(QUERIES, verbose=0)
    lipot.certify(model, QUERIES)
    reverse(layer)
    check_proof(model)


def test_a_memory_that_another_model_fills_anew():
    model = adapted()
    shared = model.with_search("exact")
    before = predictions(shared)
    lipot.certify(shared, QUERIES)
    model.backbone.layers[0].scale = -1.0
    model.adapt(POINTS)
    after = predictions(shared)
    assert not np.array_equal(before[0], after[0])
    np.testing.assert_array_equal(*after)
    proof = lipot.certify(shared, QUERIES)
    np.testing.assert_array_equal(proof.predictions, after[0])


def test_a_constant_is_about_what_predict_computes_from_then_on():
    layer = layers.Normalization()
    layer.adapt(np.array([[-0.01], [0.01]]))
    model = keras.Sequential([keras.Input((1,)), layer])
    model.predict(np.zeros((1, 1)), verbose=0)
    layer.adapt(np.array([[-100.0], [100.0]]))
    constant = lipot.lipschitz_constant(model)
    moved = np.ptp(model.predict(np.array([[0.0], [1.0]]), verbose=0))
    assert moved <= constant


class Shrinking(keras.utils.PyDataset):
    """Images of 16 x 16 when they are read first, and of 2 x 2 from then on."""

    def __init__(self):
        super().__init__()
        self.passes = 0

    def __len__(self):
        return 3

    def __getitem__(self, index):
        self.passes += index == 0
        side = 16 if self.passes == 1 else 2
        return np.full((1, side, side, 1), 0.6, "float32")


@pytest.mark.parametrize("norm", [2, "inf"])
def test_images_are_certified_with_the_constant_of_their_own_size(norm):
    model = keras.Sequential(
        [keras.Input((None, None, 1)), layers.GlobalAveragePooling2D(), layers.Dense(2)]
    )
    model.layers[-1].set_weights([np.array([[1.0, -1.0]]), np.array([-0.5, 0.5])])
    proof = lipot.certify(model, Shrinking(), norm=norm)
    image = np.full((1, 16, 16, 1), 0.6, "float32")
    np.testing.assert_allclose(proof.radius, lipot.certify(model, image, norm=norm).radius[0])
    # One pass, whose images are those that were bounded.
    data = Shrinking()
    lipot.certify(model, data, norm=norm)
    assert data.passes == 1
