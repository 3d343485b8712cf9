"""Training against attacks on networks that assign variables whenever they are called."""

import keras
import numpy as np
import pytest

import lipot
from lipot.layers import FrobeniusDense
from lipot.models.random_self_ensemble import RandomNoise
from tests.helpers import to_numpy

X = np.random.default_rng(0).uniform(0.3, 0.7, size=(6, 2)).astype("float32")
Y = np.arange(6) % 2


# A layer that keeps its kernel, and one that counts what it has drawn.
@pytest.mark.parametrize("layer", [FrobeniusDense(2), RandomNoise(0.1)], ids=["kernel", "noise"])
def test_an_attack_of_several_steps_leaves_a_network_as_usable_as_it_was(layer):
    network = keras.Sequential([keras.Input((2,)), layer])
    attack = lipot.attacks.PGD(0.1, steps=2)
    robust = lipot.AdversarialModel(network, attack, [lipot.losses.AdversarialCrossentropy()])
    robust.compile(keras.optimizers.SGD(0.01))
    assert np.isfinite(robust.train_on_batch(X, Y, return_dict=True)["loss"])
    attacked = to_numpy(attack(network, X, Y))
    assert 0.05 < np.max(np.abs(attacked - X)) <= 0.1 + 1e-6
    assert np.all(np.isfinite(to_numpy(network(attacked))))
