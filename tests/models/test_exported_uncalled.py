"""A model around other ones is exported as it was trained, called before or not."""

import keras
import numpy as np
import pytest

import lipot
from lipot import models
from tests.helpers import to_numpy

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="Reads a SavedModel."
)
SHAPE = (8, 8, 1)


def network():
    return keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(10)])


def trained_by_fit():
    model = models.OTClassifier(
        models.embedding_encoder(SHAPE, code_size=2, filters=4),
        models.embedding_classifier(code_size=2),
    )
    model.compile("adam")
    model.fit(np.ones((4, *SHAPE), "float32"), np.arange(4), verbose=0)
    return model


MADE = {
    "AdversarialModel": lambda: models.AdversarialModel(
        network(), None, [lipot.losses.AdversarialCrossentropy()]
    ),
    "OTClassifier": trained_by_fit,
    "Purified": lambda: models.Purified(lipot.purifiers.MedianFilter(3), network()),
    "SelfEnsemble": lambda: models.SelfEnsemble(network()),
}


@pytest.mark.parametrize("name", MADE)
def test_what_was_exported_answers_as_the_model(name, tmp_path):
    model = MADE[name]()
    model.export(tmp_path / name, verbose=False)
    x = np.random.default_rng(0).uniform(size=(3, *SHAPE)).astype("float32")
    served = keras.layers.TFSMLayer(tmp_path / name, call_endpoint="serve")(x)
    np.testing.assert_allclose(to_numpy(served), to_numpy(model(x)), atol=1e-5)
