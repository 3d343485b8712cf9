"""Random defences are noticed, attacked along the mean of many draws, and said to be random."""

import keras
import numpy as np
import pytest
from keras import ops

import lipot
from lipot.backend.keras_graph import random_states
from lipot.evaluation.page import prose
from lipot.evaluation.run import randomness
from lipot.evaluation.run.task import Task, make_task
from lipot.evaluation.sanity import checks as sanity
from lipot.interop.art import classifier
from lipot.models import RandomNoise
from tests.helpers import to_numpy

QUIET = {
    "views": False,
    "sanity": False,
    "progress": False,
    "clip_values": (0, 1),
    "attacks": ["fgsm"],
}


class RandomSlope(keras.layers.Layer):
    """`x + A sin(1000 x) / 1000` with a new normal A for each number: its slope says nothing."""

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = size
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, x):
        slopes = self.size * keras.random.normal(ops.shape(x), seed=self.seeds)
        return x + slopes * ops.sin(1000.0 * x) / 1000.0


def random_linear(size=4.0):
    dense = keras.layers.Dense(2)
    model = keras.Sequential([keras.Input((5,)), RandomSlope(size), dense])
    dense.set_weights([np.stack([np.ones(5), -np.ones(5)], 1), np.array([-2.5, 2.5])])
    return model


def points():
    x = np.random.default_rng(0).uniform(0.2, 0.8, (30, 5)).astype("float32")
    return x, (x.sum(axis=1) < 2.5).astype(int)


def test_gradients_of_many_draws_approach_the_mean():
    x, y = points()
    # Where the sine is flat every draw has the slope 4 A cos(1000 x) beside the mean slope.
    model, true = random_linear(), np.ones((30, 1, 5))
    errors = []
    for samples in (1, 64):
        found = classifier(model, clip_values=(0.0, 1.0), eot_samples=samples)
        errors.append(np.sqrt(np.mean((found.class_gradient(x, 0) - true) ** 2)))
    assert 0.5 < errors[0] / errors[1] / 8.0 < 2.0
    assert found.eot_samples == 64 and found.with_eot_samples(1).eot_samples == 1


def test_every_call_of_an_estimator_draws_anew():
    x, _ = points()
    found = classifier(random_linear(), clip_values=(0.0, 1.0), eot_samples=2)
    first, second = (found.class_gradient(x, 0) for _ in range(2))
    assert np.max(np.abs(first - second)) > 1.0
    assert not np.array_equal(found.predict(x), found.predict(x))
    if keras.backend.backend() == "tensorflow":
        # What attacks of ART differentiate with a tape of their own.
        values = [to_numpy(found._predict_framework(x)) for _ in range(2)]
        assert not np.array_equal(*values)


def test_a_random_model_is_attacked_along_the_mean_and_said_to_be_random():
    x, y = points()
    model = random_linear()
    before = [to_numpy(state) for state in random_states(model)]
    report = lipot.evaluate(model, x, y, "inf", [0.05], **QUIET)
    (found,) = report.evaluations
    assert found.random and not found.misses_randomness
    assert found.settings["eot samples"] == randomness.DRAWS
    assert "random, mean of 16 draws" in " ".join(report.table("terminal").split())
    assert "the model is random" in prose.verdict(found)
    # The model goes on where it was, and another evaluation finds the same.
    after = [to_numpy(state) for state in random_states(model)]
    assert np.array_equal(before, after)
    again = lipot.evaluate(model, x, y, "inf", [0.05], **QUIET).evaluations[0]
    assert np.array_equal(again.broken_by[0.05], found.broken_by[0.05])


def test_no_good_verdict_without_many_draws():
    x, y = points()
    report = lipot.evaluate(random_linear(), x, y, "inf", 0.05, **QUIET, eot_samples=1)
    (found,) = report.evaluations
    assert found.misses_randomness
    assert "Do not rely" in prose.trust(found)


class Told:
    """An estimator of a model whose points fall by the draws that are averaged."""

    def __init__(self, samples):
        self.samples = samples

    def with_eot_samples(self, samples):
        return Told(samples)


@pytest.mark.parametrize("broken_by_more, passed", [(20, True), (21, True), (30, False)])
def test_too_few_draws_are_noticed(monkeypatch, broken_by_more, passed):
    broken = {4: 20, 16: broken_by_more}
    monkeypatch.setattr(
        sanity.Probe,
        "broken_by_pgd",
        lambda probe, eps: np.arange(30) < broken[probe.task.target.samples],
    )
    task = Task(None, Told(4), *[None] * 4, (0.05,), None, None, 8, random=True, eot_samples=4)
    probe = sanity.Probe(task, np.arange(30), None, (), 0, {})
    found, explanation = sanity._same_answer_twice(probe)
    assert found is passed
    assert f"of 4 draws breaks 20 of 30 points at 0.05, of 16 draws {broken_by_more}" in explanation


@pytest.mark.parametrize("shift, passed", [(0.0, True), (1.0, False)])
def test_a_purifier_that_hides_its_gradient_is_noticed(shift, passed):
    x, y = points()
    dense = keras.layers.Dense(2)
    classifier = keras.Sequential([keras.Input((5,)), dense])
    dense.set_weights([np.stack([np.ones(5), -np.ones(5)], 1), np.array([-2.5, 2.5])])
    # Of the value alone, or with its derivative.
    hide = keras.layers.Lambda(lambda z: (1.0 - shift) * z + shift * ops.stop_gradient(z))
    model = lipot.models.Purified(hide, classifier, "exact")
    how = {"clip_values": (0, 1), "outputs": "logits", "batch_size": 32}
    task = make_task(model, x, y, norm="inf", eps=0.1, **how)
    assert "purifier" in sanity._checks_of(model)
    assert "purifier" not in sanity._checks_of(model.with_backward("identity"))
    found, explanation = sanity._other_derivative(
        sanity.Probe(task, np.arange(30), None, (), 0, {})
    )
    assert found is passed and "with the identity" in explanation


def test_answers_that_depend_on_the_batch_are_noticed():
    x, y = points()
    less_mean = keras.layers.Lambda(lambda z: z - ops.mean(z, axis=0))
    for layers, passed in (([], True), ([less_mean], False)):
        model = keras.Sequential([keras.Input((5,)), *layers, keras.layers.Dense(2)])
        how = {"clip_values": (0, 1), "outputs": "logits", "batch_size": 16}
        task = make_task(model, x, y, norm=2, eps=0.1, **how)
        probe = sanity.Probe(task, np.arange(30), None, (), 0, {})
        verdict, explanation = sanity._same_answer_twice(probe)
        assert not task.random and verdict is passed
        assert ("share a batch" in explanation) is not passed


def test_a_certain_model_is_asked_once():
    x, y = points()
    dense = keras.Sequential([keras.Input((5,)), keras.layers.Dropout(0.5), keras.layers.Dense(2)])
    (found,) = lipot.evaluate(dense, x, y, "inf", 0.05, **QUIET).evaluations
    assert not found.random and found.settings["eot samples"] == 1
    assert "random" not in found.units


def test_decisions_are_those_of_the_mean():
    x = np.zeros((50, 2), "float32")
    dense = keras.layers.Dense(2, kernel_initializer="identity", bias_initializer="zeros")
    model = keras.Sequential([keras.Input((2,)), RandomNoise(1.0, seed=1), dense])
    one, many = (randomness.mean_prediction(model, x, 50, samples) for samples in (1, 16))
    assert 0.18 < np.std(many) < 0.32 and 0.8 < np.std(one) < 1.2


def test_wrong_numbers_of_draws_are_refused():
    x, y = points()
    with pytest.raises(ValueError, match="argument `eot_samples`"):
        lipot.evaluate(random_linear(), x, y, 2, 0.1, **QUIET, eot_samples=0)
    with pytest.raises(ValueError, match="argument `eot_samples`"):
        classifier(random_linear(), eot_samples=1.5)


def noisy_linear(noise=0.5):
    """Noise on the inputs of a linear model, and points whose class the noise often changes."""
    rng = np.random.default_rng(0)
    way = rng.normal(size=20)
    way /= np.linalg.norm(way)
    dense = keras.layers.Dense(3)
    model = keras.Sequential([keras.Input((20,)), RandomNoise(noise, seed=1), dense])
    kernel = 10.0 * np.stack([way, -way, 0.0 * way], axis=1)
    dense.set_weights([kernel, np.array([-5.0 * way.sum(), 5.0 * way.sum(), -50.0])])
    x = rng.uniform(0.3, 0.7, size=(80, 20)).astype("float32")
    side = (x - 0.5) @ way
    worst = np.clip(x - 0.25 * np.sign(side)[:, None] * way, 0.0, 1.0).astype("float32")
    return model, x, (side < 0.0).astype(int), worst


@pytest.mark.parametrize("attack", ["pgd", pytest.param("apgd", marks=pytest.mark.slow)])
def test_no_lucky_draw_ends_an_attack_on_a_random_model(attack):
    model, x, y, worst = noisy_linear()
    how = {**QUIET, "attacks": [attack]}
    robust = lipot.evaluate(model, x, y, 2, 0.25, **how).evaluations[0].robust_accuracy(0.25)
    answers = [randomness.mean_prediction(model, at, 256, 16).argmax(axis=1) for at in (x, worst)]
    analytic = np.mean((answers[0] == y) & (answers[1] == y))
    # Chance moves a few points.
    assert robust <= analytic + 0.1


def test_probabilities_that_round_hide_no_draws():
    model, x, _, _ = noisy_linear(0.01)
    sure = keras.Sequential([model, keras.layers.Rescaling(500.0), keras.layers.Softmax()])
    sure.build((None, 20))
    shown = [sure.predict(x, verbose=0) for _ in range(2)]
    far = np.abs(shown[0] - shown[1]).max(axis=1) == 0.0
    assert far.sum() > 40
    assert randomness.is_random(sure, x[far], 256)
