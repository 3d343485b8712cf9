"""Each attack gets what still stands, and what it finds is judged ball by ball."""

import numpy as np

import lipot
from lipot.evaluation import STANDS
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
