"""What is changed after a program was compiled counts from then on, or is refused."""

import keras
import numpy as np
import pytest

import lipot
from lipot import attacks, losses, purifiers
from tests.public_classes import make, public_classes

X = np.full((4, 4), 0.5, "float32")
Y = np.array([0, 1, 0, 1])
FIXED = [
    *(("attacks", name) for name in public_classes("attacks", keras.layers.Layer)),
    *(("losses", name) for name in public_classes("losses", keras.layers.Layer)),
    ("layers", "TransportResidual"),
]


def _classifier():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])


@pytest.mark.parametrize(("room", "name"), FIXED)
def test_numbers_that_a_compiled_step_would_not_see_are_fixed(room, name):
    made = make(room, name)
    made.built = True
    config = made.get_config()
    numbers = [k for k, v in config.items() if type(v) in (int, float) and k != "seed"]
    assert numbers
    for number in numbers:
        changed = config[number] + 1
        if hasattr(getattr(made, number), "assign"):
            setattr(made, number, changed)
            assert made.get_config()[number] == changed
            continue
        with pytest.raises(ValueError, match=f"`{number}`.* is fixed once the layer is built"):
            setattr(made, number, changed)


def _robust():
    terms = [losses.AdversarialCrossentropy()]
    robust = lipot.AdversarialModel(_classifier(), attacks.FGSM(0.5), terms)
    robust.compile(keras.optimizers.SGD(0.0))
    return robust


def test_an_attack_that_is_taken_away_counts_no_more_in_a_compiled_model():
    robust = _robust()

    def loss():
        return robust.fit(X, Y, verbose=0).history["loss"][0], robust.evaluate(X, Y, verbose=0)[0]

    before = loss()
    robust.attack = None
    assert all(1.05 * after < then for after, then in zip(loss(), before, strict=True))


def test_it_counts_no_more_from_the_next_step_of_a_fit():
    robust = _robust()
    end = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: setattr(robust, "attack", None))
    first, second = robust.fit(X, Y, epochs=2, verbose=0, callbacks=[end]).history["loss"]
    assert 1.05 * second < first


def test_another_number_of_a_purifier_counts_after_predict():
    images = np.full((1, 4, 4, 1), 0.5, "float32")
    purifier = purifiers.SparseTransform(size=2, weight=0.01, iterations=5)
    assert purifier.predict(images, verbose=0).max() > 0.1
    purifier.weight = 1e6
    assert purifier.predict(images, verbose=0).max() == 0.0
