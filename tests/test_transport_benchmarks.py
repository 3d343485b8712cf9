"""What the benchmarks of adversarial training do with their arguments and write in their rows."""

import types

import keras
import numpy as np
import pytest

from benchmarks.transport import cifar10, robustness
from benchmarks.transport.training import train
from lipot.datasets import Dataset

RNG = np.random.default_rng(0)


def constant():
    """A model whose loss on inputs of one value is that value."""
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    network.layers[0].set_weights([np.array([[1.0], [0.0]])])
    network.compile(keras.optimizers.SGD(0.0), "mae", run_eagerly=True)
    return network


def test_each_chunk_is_augmented_and_told_what_was_done_before(tmp_path):
    seen = []

    def augment(x, start):
        seen.append((len(x), start))
        return x + 1.0

    x, y = np.ones((8, 2), "float32"), np.zeros(8, "float32")
    logs = train(
        constant(), x, y, steps=5, batch_size=2, seed=0, folder=tmp_path, chunk=3, augment=augment
    )
    assert seen == [(6, 0), (4, 3)]
    assert logs["loss"] == pytest.approx(2.0)
    plain = train(constant(), x, y, steps=2, batch_size=2, seed=0, folder=tmp_path / "plain")
    assert plain["loss"] == pytest.approx(1.0)


def test_images_are_shifted_and_flipped_by_the_seed_and_the_chunk():
    x = RNG.uniform(size=(40, 32, 32, 3)).astype("float32")
    augment = cifar10.Augmentation(0)
    first, again, later = augment(x, 0), augment(x, 0), augment(x, 50)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, later)
    padded = np.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0)))
    flipped = 0
    for image, whole in zip(first, padded):
        windows = [whole[r : r + 32, c : c + 32] for r in range(9) for c in range(9)]
        straight = any(np.array_equal(image, window) for window in windows)
        mirrored = any(np.array_equal(image[:, ::-1], window) for window in windows)
        assert straight != mirrored
        flipped += mirrored
    assert 8 < flipped < 32


def linear_images():
    """A classifier of 4 x 4 images by the difference of two of their pixels."""
    network = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2, use_bias=False)]
    )
    kernel = np.zeros((16, 2), "float32")
    kernel[0, 0], kernel[1, 1] = 10.0, 10.0
    network.layers[-1].set_weights([kernel])
    x = np.full((6, 4, 4, 1), 0.5, "float32")
    # Leads of the first class: 2 * eps stands against all attacks on both pixels just below it.
    x[:, 0, 0, 0] += np.array([0.01, 0.03, 0.05, 0.07, 0.2, 0.3])
    return network, x, np.zeros(6, int)


@pytest.mark.slow
def test_a_row_has_every_column_it_is_asked_for():
    network, x, y = linear_images()
    data = Dataset(x, y, x, y, "images", ("a", "b"), (0.0, 1.0))
    options = types.SimpleNamespace(
        points=6, auto_points=6, auto_steps=5, auto_queries=20, simba_points=6
    )
    row = cifar10.measured(network, data, options)
    # Both pixels move by 8/255 = 0.0314: three leads below 0.0627 fall, and the clean ones stand.
    assert row["clean"] == 1.0
    for attack in ("pgd20", "mim", "autoattack", "simba"):
        assert row[attack] == pytest.approx(0.5), attack
    assert row["autoattack_settings"] == {"points": 6, "steps": 5, "queries": 20}
    options.simba_points = 0
    assert "simba" not in cifar10.measured(network, data, options)


def test_the_momentum_is_that_of_equations_19_and_20():
    """A slope that turns: the sign of the running sum is what moves, not that of the slope."""
    slopes = iter([[4.0, -1.0], [-1.0, 1.0], [-1.0, 3.0], [1.0, 1.0]])
    # Of length 1 in l1: (.8, -.2), (-.5, .5), (-.25, .75), (.5, .5); sums (.8, -.2), (.3, .3),
    # (.05, 1.05), (.55, 1.55) and their signs.
    moves = np.array([[1, -1], [1, 1], [1, 1], [1, 1]])
    network, _, _ = linear_images()
    estimator = robustness.estimator_of(network)
    place = np.full((1, 4, 4, 1), 0.5, "float32")

    def gradient(x, y, **kwargs):
        slope = np.zeros_like(x)
        slope[0, 0, :2, 0] = next(slopes)
        return slope

    estimator.loss_gradient = gradient
    attack = robustness.MomentumIterativeMethod(
        estimator, norm=np.inf, eps=0.5, eps_step=0.01, decay=1.0, max_iter=4, verbose=False
    )
    found = attack.generate(place, np.array([0]))
    expected = 0.5 + 0.01 * moves.sum(axis=0)
    np.testing.assert_allclose(found[0, 0, :2, 0], expected, atol=1e-6)
