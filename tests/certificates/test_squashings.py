"""A softmax or a sigmoid after the logits changes no class; a second one does."""

import keras
import numpy as np
import pytest
from keras import layers

import lipot
from tests.helpers import to_numpy

CHAINS = {
    "sigmoids": (1, ["sigmoid"], ["sigmoid"]),
    "sigmoid layers": (1, [None], ["sigmoid", "sigmoid"]),
    "softmaxes": (3, ["softmax"], ["softmax"]),
    "softmax layers": (3, [None], [layers.Softmax, "softmax"]),
    "with nothing between": (3, ["softmax"], [lambda: layers.Dropout(0.5), layers.Softmax]),
    "three": (1, ["sigmoid"], ["sigmoid", "linear", "sigmoid"]),
}


def chain(units, activations, others):
    kinds = [layers.Activation(o) if isinstance(o, str) else o() for o in others]
    dense = layers.Dense(units, activation=activations[0])
    return [dense, *kinds]


@pytest.mark.parametrize("units, activations, others", CHAINS.values(), ids=CHAINS)
def test_two_squashings_are_refused(units, activations, others):
    model = keras.Sequential([keras.Input((4,)), *chain(units, activations, others)])
    with pytest.raises(ValueError, match="at most one softmax or sigmoid.*Leave one of them out"):
        lipot.certify(model, np.ones((1, 4)))


@pytest.mark.parametrize("units, activations, others", CHAINS.values(), ids=CHAINS)
def test_two_squashings_of_nested_models_are_refused(units, activations, others):
    *inside, last = chain(units, activations, others)
    model = keras.Sequential([keras.Input((4,)), keras.Sequential(inside), last])
    with pytest.raises(ValueError, match="at most one softmax or sigmoid"):
        lipot.certify(model, np.ones((1, 4)))


def test_the_class_after_one_squashing_is_that_of_the_logit():
    x = np.random.default_rng(0).normal(size=(200, 4)).astype("float32")
    for units, function in ((1, "sigmoid"), (3, "softmax")):
        model = keras.Sequential(
            [
                keras.Input((4,)),
                layers.Dense(units),
                layers.Dropout(0.5),
                layers.Activation(function),
            ]
        )
        model = keras.Sequential([keras.Input((4,)), model, layers.Identity()])
        certificate = lipot.certify(model, x)
        served = to_numpy(model(x))
        classes = served[:, 0] > 0.5 if units == 1 else served.argmax(axis=1)
        certified = certificate.radius > 0.0
        assert certified.mean() > 0.9
        np.testing.assert_array_equal(certificate.predictions[certified], classes[certified])
