"""Gradient norms by hand: linear classifiers, whose derivatives are known."""

import keras
import numpy as np
import pytest

from lipot.evaluation.gradient_norms import (
    input_gradient_norm,
    input_gradient_norms,
    weight_gradient_ratios,
)


def linear(kernel):
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, use_bias=False)])
    network.set_weights([kernel])
    return network


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 4)).astype("float32")
    # More than one batch, the last of them partial.
    return kernel, rng.uniform(size=(200, 3)).astype("float32"), rng.integers(0, 4, 200)


def test_the_norm_at_the_input_is_that_of_a_linear_network(points):
    kernel, x, y = points
    gradient = (softmax(x @ kernel) - np.eye(4)[y]) @ kernel.T
    expected = np.mean(np.abs(gradient))
    assert input_gradient_norm(linear(kernel), x, y) == pytest.approx(expected, rel=1e-4)


def test_a_final_softmax_is_taken_off(points):
    kernel, x, y = points
    network = linear(kernel)
    squashed = keras.Sequential([network, keras.layers.Softmax()])
    squashed.build((None, 3))
    expected = input_gradient_norm(network, x, y)
    with pytest.warns(UserWarning, match="ends in probabilities"):
        assert input_gradient_norm(squashed, x, y) == pytest.approx(expected, rel=1e-4)


def test_norms_after_steps_are_those_at_the_attacked_points(points):
    kernel, x, y = points
    found = input_gradient_norms(linear(kernel), x, y, eps=0.1, steps=[1, 20], step_size=0.05)
    assert list(found) == ["clean", "PGD 1", "PGD 20"]
    gradient = (softmax(x @ kernel) - np.eye(4)[y]) @ kernel.T
    x_adv = np.clip(x + 0.05 * np.sign(gradient), 0.0, 1.0).astype("float32")
    assert found["PGD 1"] == pytest.approx(input_gradient_norm(linear(kernel), x_adv, y), rel=1e-3)
    assert found["PGD 20"] > found["PGD 1"] > found["clean"]


def test_ratios_are_those_of_a_linear_network(points):
    kernel, x, y = points
    x, y, x_adv = x[:64], y[:64], 1.0 - x[:64]

    def norm(inputs):
        return np.linalg.norm(inputs.T @ (softmax(inputs @ kernel) - np.eye(4)[y]) / len(inputs))

    (ratio,) = weight_gradient_ratios(linear(kernel), x, x_adv, y).values()
    assert ratio == pytest.approx(norm(x_adv) / norm(x), rel=1e-3)
    assert abs(ratio - 1.0) > 0.05


def test_measuring_changes_nothing(points):
    _, x, y = points
    network = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(5),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(4),
        ]
    )
    before = network.get_weights()
    ratios = [weight_gradient_ratios(network, x, x, y) for _ in range(2)]
    assert len(ratios[0]) == 6 and ratios[0] == ratios[1]
    for old, new in zip(before, network.get_weights()):
        np.testing.assert_array_equal(old, new)
