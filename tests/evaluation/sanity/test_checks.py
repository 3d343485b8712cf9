"""Masked gradients are flagged, honest networks are not."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

import lipot
from lipot.evaluation.attacks import suite
from lipot.evaluation.run.checkpoints import Memory
from lipot.evaluation.run.engine import Outcome, run
from lipot.evaluation.run.task import make_task
from lipot.evaluation.sanity import checks as sanity
from lipot.progress import Silence


@pytest.fixture(scope="module")
def digits():
    return lipot.datasets.load("digits")


@pytest.fixture(scope="module")
def trained(digits):
    """A network trained on points that PGD attacks."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Flatten(), keras.layers.Dense(64, "relu"), keras.layers.Dense(10)]
    network = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    robust = lipot.AdversarialModel(
        network,
        attack=lipot.attacks.PGD(eps=0.1, step_size=0.05, steps=3),
        losses=[lipot.losses.AdversarialCrossentropy()],
    )
    robust.compile(keras.optimizers.Adam(3e-3))
    robust.fit(digits.x_train, digits.y_train, batch_size=64, epochs=4, verbose=0)
    return network


def verdicts(model, digits, norm, eps, points=40, attacks=("fgsm",)):
    x, y = digits.x_test[:points], digits.y_test[:points]
    task = make_task(
        model, x, y, norm=norm, eps=eps, clip_values=None, outputs="auto", batch_size=256
    )
    specs, _ = suite.resolve(attacks, task.target, task.norm)
    outcome = run(task, specs, seed=0, store=Memory(), progress=Silence())
    found = sanity.run(task, outcome, specs, seed=0, store=Memory(), progress=Silence())
    return {verdict.name: verdict for verdict in found}


def failed(found):
    return {name for name, verdict in found.items() if verdict.passed is False}


@pytest.mark.parametrize(
    "norm, eps, attack",
    # In l2 FGSM alone is too weak, and the checks say so.
    [
        ("inf", [0.05, 0.1], "fgsm"),
        pytest.param(2, [0.3, 0.6], "standard", marks=pytest.mark.slow),
    ],
)
def test_a_network_trained_against_pgd_passes(trained, digits, norm, eps, attack):
    found = verdicts(trained, digits, norm, eps, attacks=attack)
    assert failed(found) == set()
    assert all(verdict.passed for verdict in found.values())


def test_a_blind_attack_that_ran_first_is_no_sign(trained, digits):
    found = verdicts(trained, digits, "inf", [0.1], attacks=["square", "pgd"])["black box"]
    assert found.passed
    # It did break points, and PGD would have broken them too.
    assert "square 0" not in found.explanation


def test_what_fell_to_a_blind_attack_alone_is_counted():
    specs = (suite.ATTACKS["square"], suite.ATTACKS["pgd"])
    task = SimpleNamespace(eps=(0.1, 0.2))
    broken_by = np.array([[0, -1, 1, -2, 0], [0, 0, 1, -2, 0]])
    # PGD at 0.1 breaks the last, at 0.2 the first too; row 3 is not among those probed.
    known = {(0.1, 40): np.array([0, 0, 1, 1], bool), (0.2, 40): np.array([1, 0, 1, 1], bool)}
    rows, outcome = np.array([0, 1, 2, 4]), Outcome(broken_by, None, {})
    assert sanity._broken_blindly(sanity.Probe(task, rows, outcome, specs, 0, known)) == 1
    known[0.2, 40][:2] = False
    assert sanity._broken_blindly(sanity.Probe(task, rows, outcome, specs, 0, known)) == 2


def test_saturated_logits_are_flagged(trained, digits):
    saturated = keras.Sequential([trained, keras.layers.Rescaling(1e4), keras.layers.Softmax()])
    saturated.build((None, 8, 8, 1))
    found = verdicts(saturated, digits, "inf", [0.05, 0.1])
    assert "gradients" in failed(found)
    assert "exactly zero at 100 %" in found["gradients"].explanation


def test_a_quantizer_is_flagged(trained, digits):
    inputs = keras.Input((8, 8, 1))
    quantized = keras.Model(inputs, trained(keras.ops.round(4.0 * inputs) / 4.0))
    found = verdicts(quantized, digits, "inf", [0.1, 0.2])
    assert {"gradients", "unbounded attack", "black box", "transfer"} <= failed(found)


def test_a_random_model_is_flagged(trained, digits):
    class Noise(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.seeds = keras.random.SeedGenerator(0)

        def call(self, x):
            return x + keras.random.normal(keras.ops.shape(x), 0.0, 0.1, seed=self.seeds)

    noisy = keras.Sequential([keras.Input((8, 8, 1)), Noise(), trained])
    probe = sanity.Probe(
        make_task(
            noisy,
            digits.x_test[:5],
            digits.y_test[:5],
            norm=2,
            eps=0.1,
            clip_values=(0, 1),
            outputs="logits",
            batch_size=8,
            eot_samples=1,
        ),
        np.arange(5),
        None,
        (),
        0,
        {},
    )
    passed, explanation = sanity._same_answer_twice(probe)
    assert passed is False and "random" in explanation


def test_a_handful_of_points_proves_nothing(trained, digits):
    found = verdicts(trained, digits, "inf", [0.1], points=3)
    assert all(verdict.passed is None for verdict in found.values())
    assert "it takes 5 to compare attacks" in found["more steps"].explanation


def test_a_model_that_is_always_wrong_is_not_checked(trained, digits):
    wrong = digits._replace(y_test=(trained.predict(digits.x_test, verbose=0).argmin(axis=1)))
    found = verdicts(trained, wrong, "inf", [0.1], points=5)
    assert all(verdict.passed is None for verdict in found.values())


def test_a_suite_that_leaves_what_pgd_breaks_is_flagged(trained, digits):
    still = SimpleNamespace(generate=lambda x, y: x)
    weak = lipot.evaluation.AttackSpec("weak", lambda target, norm, eps: still)
    found = verdicts(trained, digits, "inf", [0.3], attacks=[weak])
    assert "suite" in failed(found)
    assert "weaker than PGD" in found["suite"].explanation


@pytest.mark.parametrize(
    ("by_pgd", "by_suite", "passed"),
    [(2, 0, True), (3, 0, False), (3, 3, True), (7, 5, True), (8, 8, False), (30, 30, False)],
)
def test_points_that_luck_swaps_are_no_weakness_of_the_suite(by_pgd, by_suite, passed):
    rows = np.arange(100)
    task, broken_by = SimpleNamespace(eps=(0.1,)), np.where(rows < 60, 0, -1)[None]
    known = {(0.1, 40): (rows >= by_suite) & (rows < 60 + by_pgd)}
    probe = sanity.Probe(task, rows, Outcome(broken_by, None, {}), (), 0, known)
    verdict, explanation = sanity._left_standing(probe)
    assert verdict is passed
    assert f"PGD breaks {by_pgd} at 0.1" in explanation and f"leaves {by_suite} that" in explanation


def test_an_imitation_that_is_none_tells_nothing(trained, digits, monkeypatch):
    monkeypatch.setattr(sanity.surrogate, "agreement", lambda *_: 0.3)
    found = verdicts(trained, digits, "inf", [0.1], attacks=["pgd"])["transfer"]
    assert found.passed is None and "too poor" in found.explanation
