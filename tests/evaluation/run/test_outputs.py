"""Logits or probabilities: found out, or asked for."""

import keras
import numpy as np
import pytest

from lipot.evaluation.run.outputs import find_outputs, predict

X = np.random.default_rng(0).uniform(size=(20, 4)).astype("float32")


def found(*layers, outputs="auto"):
    model = keras.Sequential([keras.Input((4,)), *layers])
    return find_outputs(model, predict(model, X, 32), outputs)


def test_a_final_softmax_is_seen():
    for last in (
        [keras.layers.Dense(3, activation="softmax")],
        [keras.layers.Dense(3), keras.layers.Softmax()],
        [keras.Sequential([keras.layers.Dense(3, activation="softmax")])],
    ):
        kind, how, attacked, units = found(*last)
        assert (kind, attacked, units) == ("probabilities", "auto", 3)
        assert "softmax" in how


def test_probabilities_are_seen_by_their_numbers():
    class Share(keras.layers.Layer):
        def call(self, inputs):
            positive = keras.ops.exp(inputs)
            return positive / keras.ops.sum(positive, axis=-1, keepdims=True)

    kind, how, attacked, _ = found(keras.layers.Dense(3), Share())
    assert (kind, attacked) == ("probabilities", "probabilities")
    assert "distribution" in how


def test_logits_are_seen():
    assert found(keras.layers.Dense(3)).kind == "logits"
    assert found(keras.layers.Dense(3, activation="softmax"), outputs="logits").kind == "logits"


def test_one_unit_decides_at_the_right_threshold():
    values = np.array([[0.2], [0.7], [-0.1]])
    assert found(keras.layers.Dense(1, activation="sigmoid")).classes(values).tolist() == [0, 1, 0]
    logits = found(keras.layers.Dense(1), outputs="logits")
    assert logits.classes(values).tolist() == [1, 1, 0]


def test_one_unit_between_0_and_1_is_asked_about():
    with pytest.raises(ValueError, match="`outputs`. Expected 'logits' or 'probabilities'"):
        found(keras.layers.Dense(4, activation="sigmoid"), keras.layers.Lambda(lambda z: z[:, :1]))


def test_what_has_no_scores_is_refused():
    decided = keras.layers.Lambda(
        lambda z: keras.ops.one_hot(keras.ops.argmax(z, -1), 4, dtype=int)
    )
    with pytest.raises(ValueError, match="Expected scores, a float for each class"):
        found(decided)
    with pytest.raises(ValueError, match="Expected outputs of shape"):
        found(keras.layers.Reshape((2, 2)))
    broken = keras.layers.Lambda(lambda z: z / 0.0)
    with pytest.raises(ValueError, match="NaN or infinite"):
        found(broken)
    with pytest.raises(ValueError, match="`outputs`. Expected one of"):
        found(keras.layers.Dense(3), outputs="scores")


def test_a_claim_that_the_values_deny_is_refused():
    with pytest.raises(ValueError, match="`outputs`. Expected 'logits'.*values between -"):
        found(keras.layers.Dense(3), outputs="probabilities")
    # Above 0 at every point, where the class of one logit changes.
    with pytest.raises(ValueError, match="`outputs`. Expected 'probabilities'.*in a sigmoid"):
        found(keras.layers.Dense(1, activation="sigmoid"), outputs="logits")
    independent = keras.layers.Dense(3, activation="sigmoid")
    assert found(independent, outputs="probabilities").kind == "probabilities"


def test_several_outputs_are_refused():
    x = keras.Input((4,))
    branches = {"one": keras.layers.Dense(3)(x), "other": keras.layers.Dense(2)(x)}
    for outputs, received in ((branches, "a dict of 2"), ([*branches.values()], "a list of 2")):
        with pytest.raises(ValueError, match=f"Expected one array.*{received}"):
            predict(keras.Model(x, outputs), X, 32)
