"""Attacks on OTAD through ART: what the authors ran, and the true gradient they had not."""

import numpy as np
from art.attacks.evasion import (
    AutoProjectedGradientDescent,
    ProjectedGradientDescent,
    SquareAttack,
)

from lipot.models import StraightThrough
from tests.evaluation.attacks.cases import estimator_of


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
