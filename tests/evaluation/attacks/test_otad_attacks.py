"""Attacks on OTAD through ART: what the authors ran, and the true gradient they had not."""

import keras
import numpy as np
import pytest
from art.attacks.evasion import (
    AutoProjectedGradientDescent,
    ProjectedGradientDescent,
    SquareAttack,
)

from lipot.evaluation.attacks.code import CodeAttack
from lipot.evaluation.attacks.ngopt import NGOptCarlini
from lipot.interop.art import classifier
from lipot.models import OTAD, StraightThrough


@pytest.fixture(scope="module")
def setting():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 400)
    centers = 0.25 + 0.5 * np.random.default_rng(1).random((3, 6, 6, 1))
    x = np.clip(centers[y] + 0.12 * rng.normal(size=(400, 6, 6, 1)), 0, 1).astype("float32")
    backbone = keras.Sequential(
        [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(36, "tanh")]
        + [keras.layers.Reshape((6, 6, 1))]
    )
    head = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    network = keras.Sequential([backbone, head])
    network.compile(
        keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    network.fit(x[:300], y[:300], epochs=20, verbose=0)
    model = OTAD(backbone, head, neighbors=5, smoothness=2.0).adapt(x[:300])
    return model, x[300:], y[300:]


def estimator_of(model):
    return classifier(model, clip_values=(0.0, 1.0), input_shape=(6, 6, 1), channels_first=False)


def accuracy(model, x, y):
    return np.mean(np.argmax(model.predict(x, verbose=0), axis=1) == y)


def test_gradient_attacks_through_the_solver(setting):
    model, x, y = setting
    clean = accuracy(model, x, y)
    estimator = estimator_of(model)
    arguments = {"norm": 2, "eps": 1.2, "eps_step": 0.3, "max_iter": 8, "verbose": False}
    true = ProjectedGradientDescent(estimator, **arguments).generate(x, y)
    automatic = AutoProjectedGradientDescent(
        estimator, nb_random_init=1, **{**arguments, "eps_step": 0.3}
    ).generate(x, y)
    through = ProjectedGradientDescent(estimator_of(StraightThrough(model)), **arguments)
    results = [accuracy(model, a, y) for a in (true, automatic, through.generate(x, y))]
    assert clean > 0.85
    # Where one neighbor carries all the weight the answer is flat: the true gradient is zero
    # there and its attacks start slowly, while the backbone's slope leads on.
    assert min(results[:2]) < clean
    assert results[2] < clean - 0.3
    for attacked in (true, automatic):
        assert np.max(np.linalg.norm((attacked - x).reshape(len(x), -1), axis=1)) < 1.201


def test_square_attack_needs_no_gradient(setting):
    model, x, y = setting
    attack = SquareAttack(
        estimator_of(model), norm=np.inf, eps=0.15, max_iter=30, batch_size=100, verbose=False
    )
    assert accuracy(model, attack.generate(x, y), y) < accuracy(model, x, y)


def test_ngopt_finds_near_misclassified_points(setting):
    pytest.importorskip("nevergrad")
    model, x, y = setting
    estimator = estimator_of(model)
    x, y = x[:8], y[:8]
    attacked = NGOptCarlini(estimator, sigma=0.2, budget=40).generate(x, y)
    changed = np.any((attacked != x).reshape(len(x), -1), axis=1)
    right = np.argmax(model.predict(x, verbose=0), axis=1) == y
    wrong = np.argmax(model.predict(attacked, verbose=0), axis=1) != y
    assert np.any(changed & right)
    np.testing.assert_array_equal(wrong[right], changed[right])
    assert attacked.min() >= 0.0 and attacked.max() <= 1.0
    again = NGOptCarlini(estimator, sigma=0.2, budget=40).generate(x, y)
    np.testing.assert_array_equal(again, attacked)
    with pytest.raises(ValueError, match="`sigma`.*sigma=0"):
        NGOptCarlini(estimator, sigma=0)


def test_code_attack_moves_codes_more_than_chance(setting):
    model, x, _ = setting
    metric = keras.Sequential(
        [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3, "tanh")]
    )
    attack = CodeAttack(estimator_of(model), metric, eps=0.4, eps_step=0.1, max_iter=15)
    attacked = attack.generate(x)
    noise = np.random.default_rng(0).normal(size=x.shape)
    noise *= 0.4 / np.linalg.norm(noise.reshape(len(x), -1), axis=1).reshape(-1, 1, 1, 1)
    moved, chance = (
        np.linalg.norm(np.asarray(metric(a)) - np.asarray(metric(x)), axis=1)
        for a in (attacked, np.clip(x + noise, 0, 1))
    )
    assert np.mean(moved) > 2 * np.mean(chance)
    assert np.max(np.linalg.norm((attacked - x).reshape(len(x), -1), axis=1)) < 0.401
    with pytest.raises(ValueError, match="`metric`"):
        CodeAttack(attack.estimator, "l2")
