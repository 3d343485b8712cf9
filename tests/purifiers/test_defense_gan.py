"""The projection onto the range of a generator, against least squares."""

import keras
import numpy as np
import pytest
from keras import ops

import lipot
from lipot import backend
from lipot.math.latent_projection import nearest_generated
from lipot.purifiers import DefenseGAN, code_generator, wasserstein_critic
from tests.helpers import to_numpy


def linear_gan(**arguments):
    """A generator of the multiples of three images of 2x2 pixels."""
    generator = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4), keras.layers.Reshape((2, 2, 1))]
    )
    critic = keras.Sequential(
        [keras.Input((2, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    kernel = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    generator.set_weights([kernel, np.full(4, 0.1, "float32")])
    settings = {"step_size": 0.5, "steps": 300, "momentum": 0.8, "seed": 0, **arguments}
    return DefenseGAN(generator, critic, **settings), kernel


def test_onto_the_range_of_a_linear_generator_it_is_least_squares():
    purifier, kernel = linear_gan(restarts=2)
    x = np.random.default_rng(1).uniform(size=(5, 2, 2, 1)).astype("float32")
    projection = kernel.T @ np.linalg.pinv(kernel.T)
    expected = 0.1 + (x.reshape(5, 4) - 0.1) @ projection.T
    found = purifier.predict(x, verbose=0)
    assert np.allclose(found.reshape(5, 4), expected, atol=1e-3)


def test_its_exact_derivative_is_the_projection():
    purifier, kernel = linear_gan(restarts=1)
    x = np.random.default_rng(1).uniform(size=(2, 2, 2, 1)).astype("float32")
    weights = np.arange(4.0, dtype="float32").reshape(2, 2, 1)
    value = lambda z: ops.sum(ops.multiply(weights, purifier(z, training=False)))  # noqa: E731
    gradient = backend.compile(lambda z: backend.value_and_input_gradient(value, z)[1])
    found = gradient(ops.convert_to_tensor(x))
    projection = kernel.T @ np.linalg.pinv(kernel.T)
    expected = projection.T @ weights.ravel()
    assert np.allclose(to_numpy(found).reshape(2, 4), expected, atol=2e-3)


def test_the_best_start_counts():
    """|z| has two valleys for each number: which one a start leads to is its sign."""
    bend = lambda z: ops.abs(z) + ops.relu(-z)  # noqa: E731
    codes = np.array([[[-0.5], [2.0]], [[0.1], [-3.0]]], "float32")
    images = np.array([[1.0], [1.0]], "float32")
    descent = {"steps": 3, "step_size": 0.05, "momentum": 0.0}
    found = to_numpy(nearest_generated(bend, images, codes, **descent))
    alone = [
        to_numpy(nearest_generated(bend, images, codes[:, start : start + 1], **descent))
        for start in range(2)
    ]
    errors = [np.square(image - images)[:, 0] for image in alone]
    assert not np.allclose(errors[0], errors[1])
    expected = np.where(errors[0] < errors[1], alone[0][:, 0], alone[1][:, 0])
    assert np.allclose(found[:, 0], expected)


def test_generator_and_critic_each_follow_their_own_loss():
    """One step of plain descent moves each by its gradient in the game, worked out by hand."""
    purifier, kernel = linear_gan()
    purifier.critic.set_weights([np.full((4, 1), 0.5, "float32"), np.zeros(1, "float32")])
    purifier.compile(keras.optimizers.SGD(1.0))
    x = np.random.default_rng(2).uniform(size=(64, 2, 2, 1)).astype("float32")
    codes = to_numpy(purifier._draw(64))
    purifier.seed_generator.state.assign([0, 0])
    purifier.train_on_batch(x)
    fake = codes @ kernel + 0.1
    ascent = x.reshape(64, 4).mean(axis=0) - fake.mean(axis=0)
    assert np.allclose(purifier.critic.get_weights()[0][:, 0], 0.5 + ascent, atol=1e-4)
    expected = kernel + codes.mean(axis=0)[:, None] * 0.5
    assert np.allclose(purifier.generator.get_weights()[0], expected, atol=1e-4)


@pytest.mark.slow
def test_a_generator_learns_to_make_digits():
    keras.utils.set_random_seed(0)
    shape, x = (8, 8, 1), lipot.datasets.load("digits").x_train
    generator = code_generator(shape, code_size=16, filters=16)
    purifier = DefenseGAN(generator, wasserstein_critic(shape, filters=16), restarts=4, seed=0)
    few = x[:32]
    before = np.mean((purifier.predict(few, verbose=0) - few) ** 2)
    purifier.compile(keras.optimizers.Adam(1e-3, beta_1=0.5))
    history = purifier.fit(x, batch_size=64, epochs=40, verbose=0).history["divergence"]
    # Generated digits come near: the critic tells them apart less than at its best.
    assert history[-1] < 0.5 * max(history)
    assert np.mean((purifier.predict(few, verbose=0) - few) ** 2) < 0.7 * before
