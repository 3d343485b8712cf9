"""Each attack gets what still stands, and what it finds is judged ball by ball."""

import types

import keras
import numpy as np
import pytest

import lipot
from lipot.evaluation import STANDS, AttackSpec
from tests.evaluation.cases import QUIET, STEP, linear, spec


def test_an_attack_gets_only_what_still_stands():
    calls = []
    # Distances 0.1, 0.2 and 0.4 to the line.
    x = np.array([[0.6, 0.0], [0.7, 1.0], [0.9, 0.5]])
    specs = [spec("short", 0.15, calls=calls), spec("long", 0.3, 2, calls=calls)]
    report = lipot.evaluate(linear(*STEP), x, [0, 0, 0], 2, [0.12, 0.25, 0.5], specs, **QUIET)
    (evaluation,) = report.evaluations
    # The distance attack runs once. What it found 0.3 away is clipped into each ball.
    assert calls == [("short", 0.12), ("short", 0.25), ("short", 0.5), ("long", 0.5)]
    assert {eps: row.tolist() for eps, row in evaluation.broken_by.items()} == {
        0.12: [0, STANDS, STANDS],
        0.25: [0, 1, STANDS],
        0.5: [0, 1, STANDS],
    }


def test_a_find_within_a_smaller_ball_counts_there_too():
    task_calls = []
    x = np.array([[0.6, 0.0], [0.6, 1.0]])
    specs = [spec("once", 0.11, calls=task_calls)]
    report = lipot.evaluate(linear(*STEP), x, [0, 0], 2, [0.05, 0.2], specs, **QUIET)
    (evaluation,) = report.evaluations
    assert evaluation.broken_by[0.05].tolist() == [STANDS, STANDS]
    assert evaluation.broken_by[0.2].tolist() == [0, 0]


def test_outside_the_range_nothing_is_found():
    # To cross, the first coordinate would have to leave [0, 1].
    model = linear([[1.0, -1.0], [0.0, 0.0]], [0.05, -0.05])
    report = lipot.evaluate(model, [[0.0, 0.9]], [0], 2, 0.5, ["pgd", "deepfool"], **QUIET)
    assert report.table()["robust"].tolist() == [1.0]


def test_a_diverged_attack_found_nothing():
    x = np.array([[0.6, 0.0]], "float32")
    report = lipot.evaluate(linear(*STEP), x, [0], 2, 0.2, [spec("nan", np.nan, calls=[])], **QUIET)
    assert report.table()["robust"].tolist() == [1.0]


class NanBelow(keras.layers.Layer):
    """NaN for every class where the difference of two logits is below a number."""

    def __init__(self, least):
        super().__init__()
        self.least = least

    def call(self, logits):
        lead = logits[:, :1] - logits[:, 1:]
        return keras.ops.where(lead < self.least, float("nan"), logits)


def with_gap():
    # The lead is 10 (x_0 - 0.5): there is no answer at all below x_0 = 0.6.
    model = linear(*STEP, after=[NanBelow(1.0)])
    return model, np.array([[0.65, 0.5], [0.7, 0.2], [1.0, 0.5]], "float32")


@pytest.mark.parametrize("attack", ["pgd", "mim", "deepfool", "cw", "square"])
def test_no_answer_is_a_wrong_one_and_ends_no_evaluation(attack):
    model, x = with_gap()
    report = lipot.evaluate(model, x, [0, 0, 0], "inf", 0.2, [attack], **QUIET)
    (evaluation,) = report.evaluations
    broken = evaluation.broken_by[0.2]
    # The gradient says where to go.
    assert attack in ("deepfool", "cw") or broken.tolist() == [0, 0, STANDS]
    assert broken[2] == STANDS


class Asking:
    """Asks about points beyond the line, however far that is, and breaks off there."""

    def __init__(self, target):
        self.target = target

    def generate(self, x, y):
        moved = np.where(np.arange(x.shape[1]) == 0, np.float32(0.1), x)
        self.target.predict(moved)
        return x


def test_an_attack_that_broke_off_outside_the_ball_says_so():
    model, x = with_gap()
    asks = spec("asks", 0.0, calls=[])._replace(build=lambda target, norm, eps: Asking(target))
    with pytest.warns(UserWarning, match="'asks' broke off at 2 points"):
        report = lipot.evaluate(model, x, [0, 0, 0], "inf", 0.07, [asks], **QUIET)
    assert report.evaluations[0].broken_by[0.07].tolist() == [0, STANDS, STANDS]


@pytest.mark.slow
def test_the_whole_report_of_a_model_with_no_answers():
    model, _ = with_gap()
    x = np.random.default_rng(0).uniform((0.65, 0.0), 1.0, (24, 2)).astype("float32")
    loud = {**QUIET, "sanity": True, "views": True}
    with pytest.warns(UserWarning, match="no pictures"):
        report = lipot.evaluate(model, x, np.zeros(24, int), "inf", 0.1, "quick", **loud)
    assert report.table()["robust"].tolist() == [np.mean(x[:, 0] > 0.7)]


def _generates(function):
    return lambda target, norm, eps: types.SimpleNamespace(generate=function)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda target, norm, eps: None, ValueError, "`attacks`.*`generate.*Received: None"),
        (_generates(lambda x, y: x[:-1]), ValueError, r"shaped like `x`, \(2, 2\).*\(1, 2\)"),
        (_generates(lambda x, y: None), ValueError, r"shaped like `x`.*Received: shape \(\)"),
        (_generates(lambda x, y: {}["step"]), KeyError, "step"),
        (lambda target: None, TypeError, "3 were given"),
    ],
    ids=["no attack", "too few points", "no points", "error inside", "other arguments"],
)
def test_what_goes_wrong_in_an_attack_is_told_with_its_name(build, error, message):
    own = AttackSpec("own", build)
    with pytest.raises(error, match=message) as raised:
        lipot.evaluate(linear(*STEP), [[0.6, 0.0], [0.7, 0.0]], [0, 0], 2, 0.1, [own], **QUIET)
    assert raised.value.__notes__ == ["Raised by the attack 'own'."]
