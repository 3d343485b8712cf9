import inspect
import os

import keras
import numpy as np
import pytest

from lipot import cli, datasets, recipes
from tests.helpers import to_numpy


def _few(name, count, tests=40):
    """A data set with only its first points."""
    data = datasets.load(name)
    return data._replace(
        x_train=data.x_train[:count],
        y_train=data.y_train[:count],
        x_test=data.x_test[:tests],
        y_test=data.y_test[:tests],
    )


def _short(method):
    """A budget that a method is done with soon."""
    return {"minutes": 0.02} if method == "certified" else {"epochs": 1}


# What searches its settings takes as long as all the others.
_SLOW = {"certified": pytest.mark.slow}
CASES = [pytest.param(m, "digits", marks=_SLOW.get(m, ())) for m in recipes.METHODS]
# Vectors take another encoder and no embedding.
CASES += [("ot-classifier", "two_moons"), pytest.param("otad", "two_moons", marks=pytest.mark.slow)]


@pytest.mark.parametrize(("method", "name"), CASES)
def test_every_method_trains_a_model_that_reloads_safely(method, name, tmp_path):
    data = _few(name, 128)
    model = recipes.METHODS[method](data, **_short(method))
    logits = to_numpy(model(data.x_test))
    assert logits.shape == (40, len(data.classes)) and np.all(np.isfinite(logits))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    np.testing.assert_allclose(to_numpy(loaded(data.x_test)), logits, atol=1e-5)


def test_the_radius_grows_in_the_first_epochs():
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(float(to_numpy(self.model.attack.share)))

    recipes.train_fgsm_at(_few("digits", 64), epochs=20, batch_size=64, callbacks=[Watch()])
    np.testing.assert_allclose(seen[:4], [1 / 3, 5 / 9, 7 / 9, 1.0], rtol=1e-6)
    assert seen[4:] == [1.0] * 16


def _accuracy_at_defaults(method, data, seed):
    """Accuracy after the defaults of `lipot train`: 30 epochs, or minutes."""
    keras.utils.set_random_seed(seed)
    budget = {"minutes": 1.0} if method == "certified" else {"epochs": 30}
    predictions = recipes.METHODS[method](data, **budget).predict(data.x_test, verbose=0)
    return np.mean(predictions.argmax(axis=1) == data.y_test)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("method", list(recipes.METHODS))
def test_no_method_ends_at_chance_at_its_defaults(method, seed):
    # Adversarial examples under two regularizers take longer to learn.
    least = 0.85 if method == "otjr" else 0.93
    assert _accuracy_at_defaults(method, datasets.load("digits"), seed) > least


@pytest.mark.slow
@pytest.mark.skipif("LIPOT_DATA_DIR" not in os.environ, reason="needs MNIST and CIFAR-10")
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("method", list(recipes.METHODS))
@pytest.mark.parametrize(("name", "least"), [("mnist", 0.8), ("cifar10", 0.2)])
def test_no_method_ends_at_chance_on_few_images(name, least, method, seed):
    data = _few(name, 2000, tests=500)
    assert _accuracy_at_defaults(method, data, seed) > least


@pytest.mark.slow
@pytest.mark.skipif("LIPOT_DATA_DIR" not in os.environ, reason="needs MNIST")
def test_a_large_radius_leaves_no_training_at_chance():
    data = _few("mnist", 2000, tests=500)
    keras.utils.set_random_seed(0)
    model = recipes.train_pgd_at(data, epochs=15, eps=0.3)
    predictions = model.predict(data.x_test, verbose=0)
    assert np.mean(predictions.argmax(axis=1) == data.y_test) > 0.8


@pytest.mark.parametrize("scale", [1.0, 60.0])
def test_otad_trains_on_inputs_of_any_length(scale):
    data = _few("digits", 512)
    data = data._replace(x_train=scale * data.x_train, x_test=scale * data.x_test)
    keras.utils.set_random_seed(0)
    predictions = recipes.train_otad(data, epochs=5).predict(data.x_test, verbose=0)
    assert np.mean(predictions.argmax(axis=1) == data.y_test) > 0.6


@pytest.mark.parametrize("method", list(recipes.METHODS))
def test_every_method_says_that_a_regression_has_no_classes(method):
    table = np.ones((4, 11), "float32")
    wine = datasets.Dataset(table, table[:, 0], table, table[:, 0], "wine")
    with pytest.raises(ValueError, match="`wine` is a regression"):
        recipes.METHODS[method](wine, **_short(method))


def test_every_method_takes_the_common_arguments_and_is_explained(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    shown = capsys.readouterr().out
    for method, recipe in recipes.METHODS.items():
        known = set(inspect.signature(recipe).parameters)
        assert {*_short(method), "callbacks", "verbose"} <= known
        assert f"\n  {method} " in shown


def test_the_radius_follows_the_range_of_the_data():
    moons = datasets.load("two_moons")
    assert recipes.default_eps(moons) == pytest.approx(0.1 * moons.x_train.std(), rel=1e-6)
    assert recipes.defaults.attack_range(moons) == {"clip_min": None, "clip_max": None}
    digits = datasets.load("digits")
    assert recipes.defaults.attack_range(digits) == {"clip_min": 0.0, "clip_max": 1.0}
    assert recipes.default_eps(digits) == pytest.approx(0.1)
    colour = digits._replace(x_train=np.repeat(digits.x_train, 3, axis=-1))
    assert recipes.default_eps(colour) == pytest.approx(8 / 255)
