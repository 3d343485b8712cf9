"""APE-GAN: what is trained, what is not, and what it learns."""

import keras
import numpy as np
import pytest

import lipot
from lipot import attacks
from lipot.models import Purified
from tests.helpers import to_numpy
from tests.purifiers.purifier_cases import SHAPE, ape_gan, classifier


@pytest.fixture(scope="module")
def digits():
    return lipot.datasets.load("digits")


def test_the_classifier_is_attacked_and_not_trained(digits):
    attacked = classifier()
    before = [weight.copy() for weight in attacked.get_weights()]
    purifier = ape_gan(attacked)
    held = {id(variable) for variable in purifier.variables}
    assert not held & {id(variable) for variable in attacked.variables}
    purifier.compile("adam")
    purifier.fit(digits.x_train[:64], digits.y_train[:64], verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, attacked.get_weights()))


def test_it_says_that_it_needs_a_classifier(digits, tmp_path):
    purifier = ape_gan()
    purifier.save(tmp_path / "ape.keras")
    loaded = keras.saving.load_model(tmp_path / "ape.keras", safe_mode=True)
    assert loaded.classifier is None
    x = keras.ops.convert_to_tensor(digits.x_train[:8])
    with pytest.raises(ValueError, match="argument `classifier`"):
        loaded.purification_losses(x, None, True)
    loaded.train_against(classifier())
    assert np.all(to_numpy(loaded.purification_losses(x, None, True)) > 0.0)
    with pytest.raises(ValueError, match="argument `classifier`"):
        loaded.train_against("digits")


@pytest.mark.slow
def test_it_undoes_the_attack_that_it_was_trained_on(digits):
    keras.utils.set_random_seed(0)
    network = classifier()
    network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    network.fit(digits.x_train, digits.y_train, epochs=20, verbose=0)
    # With fewer filters the discriminator wins, and the generator ends at one image for all.
    purifier = ape_gan(network, filters=16)
    purifier.compile(keras.optimizers.Adam(2e-3))
    purifier.fit(digits.x_train, batch_size=64, epochs=20, verbose=0)
    x, y = digits.x_test, digits.y_test
    forward = lambda z: network(z, training=False)  # noqa: E731
    moved = keras.ops.convert_to_numpy(attacks.FGSM(0.2)(forward, x, y))
    right = lambda model: np.mean(model.predict(moved, verbose=0).argmax(axis=1) == y)  # noqa: E731
    assert x.shape[1:] == SHAPE
    assert right(Purified(purifier, network)) > right(network) + 0.3
