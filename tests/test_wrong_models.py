"""What is asked about a model says what to do where it is given none, or one without weights."""

import keras
import numpy as np
import pytest

import lipot
from lipot.interop import art, deel_lip, without_augmentation

X, Y = np.zeros((2, 2)), np.array([0, 1])
# What asks something of a model, as functions of the model alone.
QUESTIONS = {
    "certify": lambda model: lipot.certify(model, X, Y),
    "evaluate": lambda model: lipot.evaluate(model, X, Y, norm=2, eps=0.1, progress=False),
    "to_keras": lipot.to_keras,
    "export": lambda model: lipot.interop.export(model, "model.keras", X, Y),
    "without_augmentation": without_augmentation,
    "classifier": art.classifier,
    "load_weights": lambda model: deel_lip.load_weights(model, "saved.weights.h5"),
}


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_a_path_is_to_be_loaded_first(ask):
    with pytest.raises(ValueError, match="`model`.*load a file with load_model.*'model.keras'"):
        ask("model.keras")


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_a_model_without_weights_is_to_be_built_first(ask):
    with pytest.raises(ValueError, match="`model`.*give it an input shape or call it on data"):
        ask(keras.Sequential([keras.layers.Dense(2)]))
