"""A layer that two networks share is read where it stands in the network at hand."""

import keras
import numpy as np
import pytest
from keras import ops

from lipot import losses
from lipot.callbacks import FeatureMonitor
from lipot.models import AdversarialModel
from tests.helpers import to_numpy

QUICK = {"jit_compile": "auto"} if keras.backend.backend() == "jax" else {"run_eagerly": True}
X = np.random.default_rng(0).uniform(size=(12, 5)).astype("float32")
Y = np.arange(12) % 3


class Length(losses.PairedLoss):
    """The mean length of the features."""

    needs_features = True

    def per_example(self, batch):
        return ops.norm(batch.features, axis=-1)


def second_of_two():
    """A network whose layers but the first were called in another one before it, and that first."""
    hidden, head = keras.layers.Dense(4, name="hidden"), keras.layers.Dense(3)
    one, other = keras.layers.Dense(6), keras.layers.Dense(6)
    inputs = keras.Input((5,))
    keras.Model(inputs, head(hidden(one(inputs))))
    return keras.Model(inputs, head(hidden(other(inputs)))), lambda x: hidden(other(x))


@pytest.mark.parametrize("name", [None, "hidden"])
def test_features_are_those_of_the_network_at_hand(name):
    network, features = second_of_two()
    robust = AdversarialModel(network, None, [Length(name="length")], features=name)
    robust.compile(keras.optimizers.SGD(0.0), **QUICK)
    history = robust.fit(X, Y, verbose=0, callbacks=[FeatureMonitor(X)]).history
    expected = np.linalg.norm(to_numpy(features(X)), axis=1).mean()
    assert history["length"] == [pytest.approx(expected, rel=1e-4)]
    assert history["feature_norm"] == [pytest.approx(expected, rel=1e-4)]


def test_a_last_layer_of_several_inputs_asks_for_a_name():
    inputs = keras.Input((5,))
    logits = [keras.layers.Dense(3, name=name)(inputs) for name in ("left", "right")]
    ensemble = keras.Model(inputs, keras.layers.Average(name="mean")(logits))
    with pytest.raises(ValueError, match="'mean'.*reads 2 tensors.*name of a layer"):
        AdversarialModel(ensemble, None, [Length()])
    assert AdversarialModel(ensemble, None, [Length()], features="left").feature_size == 3


def test_features_of_open_size_are_refused():
    inputs = keras.Input((None, 5))
    hidden = keras.layers.Dense(4, name="hidden")(inputs)
    logits = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling1D()(hidden))
    with pytest.raises(ValueError, match=r"argument `features`.*known size.*\(None, None, 4\)"):
        AdversarialModel(keras.Model(inputs, logits), None, [Length()], features="hidden")


def test_a_potential_of_another_model_is_refused():
    got = losses.GOT()
    for units in (4, 6):
        network = keras.Sequential(
            [keras.Input((5,)), keras.layers.Dense(units), keras.layers.Dense(3)]
        )
        robust = AdversarialModel(network, None, [got])
    robust.compile("sgd", **QUICK)
    with pytest.raises(ValueError, match="potential of loss 'got'.*of 4 features.*each model"):
        robust.train_on_batch(X, Y)
