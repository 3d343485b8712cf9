"""Saved random state is that of the seed generators, and of nothing computed from weights."""

import h5py
import keras
import numpy as np
import pytest

from lipot import attacks, layers, losses
from lipot.backend.keras_graph import random_states
from lipot.models import AdversarialModel
from tests.helpers import to_numpy

X = np.random.default_rng(0).uniform(size=(8, 6)).astype("float32")


def robust(policy="float32"):
    keras.utils.set_random_seed(0)
    dense = layers.SpectralDense(4, dtype=policy)
    network = keras.Sequential([keras.Input((6,)), dense, keras.layers.Dense(3, dtype="float32")])
    model = AdversarialModel(network, attacks.PGD(0.1), [losses.AdversarialCrossentropy()])
    model.compile("sgd")
    return model


def test_a_twin_of_another_precision_takes_no_kernel_from_the_file(tmp_path):
    model = robust()
    model.predict(X, verbose=0)
    file = tmp_path / "model.weights.h5"
    model.save_weights(file)
    names = []
    with h5py.File(file) as stored:
        stored.visit(names.append)
    assert sum("random_state_" in name for name in names) == len(random_states(model)) == 1
    twin = robust("mixed_float16")
    twin.predict(X, verbose=0)
    twin.load_weights(file)
    alone = robust("mixed_float16").classifier.layers[0]
    alone.set_weights(model.classifier.layers[0].get_weights())
    half = twin.classifier.layers[0]
    np.testing.assert_array_equal(to_numpy(half.inference_kernel), to_numpy(alone.inference_kernel))
    assert half.lipschitz_bound == pytest.approx(alone.lipschitz_bound)


def test_weights_of_a_training_that_drew_otherwise_are_taken_alone(tmp_path):
    terms = [losses.AdversarialCrossentropy(), losses.SlicedWasserstein(0.1)]
    drawing = AdversarialModel(robust().classifier, attacks.PGD(0.1), terms)
    file = tmp_path / "model.weights.h5"
    for saved, loaded in ((drawing, robust()), (robust(), drawing)):
        saved.classifier.layers[1].bias.assign([1.0, 2.0, len(random_states(saved))])
        saved.save_weights(file)
        before = [to_numpy(state) for state in random_states(loaded)]
        with pytest.warns(UserWarning, match="random state stays as it is"):
            loaded.load_weights(file)
        assert to_numpy(loaded.classifier.layers[1].bias)[2] == len(random_states(saved))
        for state, old in zip(random_states(loaded), before, strict=True):
            np.testing.assert_array_equal(to_numpy(state), old)
