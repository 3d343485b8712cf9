"""The attack on codes."""

import keras
import numpy as np
import pytest

from lipot.evaluation.attacks.code import CodeAttack
from tests.evaluation.attacks.cases import estimator_of


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
    with pytest.raises(ValueError, match="`max_iter`. Expected a positive integer"):
        CodeAttack(attack.estimator, metric, max_iter=1.5)
