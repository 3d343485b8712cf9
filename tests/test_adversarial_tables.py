"""Every row of the tables of adversarial training: it builds, warms up, and takes a step."""

import keras
import numpy as np
import pytest

from benchmarks.papers import adversarial, warm_up
from benchmarks.transport import recipes

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
    model.perturb_weights(recipe.gamma)
    full = [float(term.weight) for term in model.terms]
    found = []
    for until in warm_up.phases(model):
        eps = None if model.attack is None else model.attack.eps
        found.append((until, eps, [float(term.weight) for term in model.terms]))
    assert [until for until, _, _ in found] == [0.06, 0.15, 0.3, 1.0]
    if recipe.attack is not None:
        assert [eps for _, eps, _ in found] == pytest.approx([0.1, 0.2, 0.3, 0.3])
        # Two steps of a quarter more than the radius reach every corner of the ball.
        assert model.attack.step_size == pytest.approx(0.375)
    for share, (_, _, weights) in zip((0.1, 0.25, 0.5, 1.0), found):
        assert weights == pytest.approx([full[0], *(share * weight for weight in full[1:])])
    before = model.classifier.get_weights()
    x = np.random.default_rng(0).uniform(size=(6, 3, 3, 1)).astype("float32")
    logs = model.train_on_batch(x, np.arange(6), return_dict=True)
    assert np.isfinite(logs["loss"])
    assert not np.array_equal(model.classifier.get_weights()[-1], before[-1])
