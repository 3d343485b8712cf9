"""Every row of the tables of adversarial training: it builds, warms up, and takes a step."""

import time

import keras
import numpy as np
import pytest

import lipot
from benchmarks.papers import adversarial, warm_up
from benchmarks.papers.table import Run
from benchmarks.transport import recipes
from lipot.datasets import Dataset

RECIPES = {
    **recipes.MAIN,
    **recipes.WITH_SURROGATES,
    **recipes.COSTS,
    **{f"{name}, middle layer": recipe for name, recipe in recipes.MIDDLE_LAYER.items()},
}


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    def small():
        hidden = keras.layers.Dense(5, activation="relu", name="pool_2")
        layers = [keras.Input((3, 3, 1)), keras.layers.Flatten(), hidden, keras.layers.Dense(10)]
        return keras.Sequential(layers)

    monkeypatch.setattr(adversarial, "carlini_wagner", small)
    monkeypatch.setattr(recipes, "carlini_wagner", small)


@pytest.mark.parametrize("name", RECIPES)
def test_a_row_warms_up_and_learns(name):
    recipe = RECIPES[name]
    model = adversarial.model_of(recipe, 2)
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    full = [float(term.weight) for term in model.terms]
    found = []
    for until in warm_up.phases(model, recipe.phases):
        share = None if model.attack is None else float(model.attack.share)
        found.append((until, share, [float(term.weight) for term in model.terms]))
    # What brings a network to one answer for all where its weight jumps grows in more steps.
    gradual = "GOT-TRADES-S" in name
    shares = [0.0, 0.0, 0.1, *([0.25, 0.5] if gradual else []), 1.0]
    assert [u for u, _, _ in found] == [0.06, 0.15, 0.3, *([0.45, 0.6] if gradual else []), 1.0]
    if recipe.attack is not None:
        radii = [share for _, share, _ in found]
        assert radii == pytest.approx([1 / 3, 2 / 3, *[1.0] * (len(shares) - 2)])
        # The default of PGD: two steps of a quarter more than the radius reach every corner.
        assert (model.attack.eps, model.attack.step_size) == pytest.approx((0.3, 0.375))
    for share, (_, _, weights) in zip(shares, found):
        assert weights == pytest.approx([full[0], *(share * weight for weight in full[1:])])
    before = model.classifier.get_weights()
    x = np.random.default_rng(0).uniform(size=(6, 3, 3, 1)).astype("float32")
    logs = model.train_on_batch(x, np.arange(6), return_dict=True)
    assert np.isfinite(logs["loss"])
    assert not np.array_equal(model.classifier.get_weights()[-1], before[-1])


def test_the_divergence_of_mart_comes_after_the_radius():
    model = adversarial.model_of(recipes.MAIN["MART"], 2)
    found = [float(model.terms[0].lambda_) for _ in warm_up.phases(model)]
    assert found == pytest.approx([0.0, 0.0, 0.5, 5.0])


@pytest.mark.parametrize("gamma", [None, 0.05])
def test_weights_are_perturbed_while_a_row_trains(gamma, tmp_path, monkeypatch):
    seen = []
    perturb = lipot.AdversarialModel.perturb_weights
    monkeypatch.setattr(
        lipot.AdversarialModel,
        "perturb_weights",
        lambda model, size: (seen.append(size), perturb(model, size))[1],
    )
    recipe = recipes.MAIN["PGD-AT"]._replace(gamma=gamma)
    x = np.random.default_rng(0).uniform(size=(8, 3, 3, 1)).astype("float32")
    data = Dataset(x, np.arange(8), x, np.arange(8), tuple(range(10)))
    settings = {"attack_steps": 1, "batch_size": 4}
    run = Run(settings, 0, tmp_path, time.monotonic() + 1000.0)
    adversarial.train_recipe(recipe, data, 2, run)
    assert [size for size in seen if size] == ([] if gamma is None else [gamma])
