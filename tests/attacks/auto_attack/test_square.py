import keras
import numpy as np
import pytest

from lipot.attacks import Victim
from lipot.attacks.auto_attack.image import ImageView
from lipot.attacks.auto_attack.square import SquareInf, SquareL2
from lipot.attacks.ball import Ball
from tests.helpers import to_numpy

EPS = 0.5
SHAPES = [(9, 9, 3), (12, 7), (30,), (2,), (3, 4, 2, 2)]


def square(kind, shape, queries=200):
    model = keras.Sequential([keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(3)])
    ball = Ball("inf" if kind is SquareInf else 2, None, None)
    return kind(Victim(model), ball, shape, queries=queries, batch_size=64)


def proposals(attack, rows, stage, seed=0):
    """Images before and after one query at a stage."""
    rng = np.random.default_rng(seed)
    view = attack.view
    x = np.zeros((rows, view.height, view.width, view.channels), "float32")
    start = attack.first_shift(rows, EPS, rng).astype("float32")
    places = rng.random((rows, 5), dtype="float32")
    signs = (rng.integers(0, 2, (rows, 1, 1, view.channels)) * 2 - 1).astype("float32")
    arrays = (x, start, EPS, np.int32(stage), places, signs)
    return start, to_numpy(attack.propose(*map(keras.ops.convert_to_tensor, arrays)))


@pytest.mark.parametrize("shape", SHAPES)
def test_views_lead_back(shape):
    view, points = ImageView.of(shape), np.random.default_rng(0).normal(size=(4, *shape))
    np.testing.assert_array_equal(to_numpy(view.points(view.image(points))), points)
    assert to_numpy(view.image(points)).shape == (4, view.height, view.width, view.channels)


def test_channels_first_images_are_turned():
    keras.config.set_image_data_format("channels_first")
    try:
        view = ImageView.of((3, 5, 6))
    finally:
        keras.config.set_image_data_format("channels_last")
    points = np.random.default_rng(0).normal(size=(2, 3, 5, 6))
    np.testing.assert_array_equal(to_numpy(view.image(points)), points.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(to_numpy(view.points(view.image(points))), points)


@pytest.mark.parametrize("shape", SHAPES)
def test_l_infinity_query_changes_one_window_by_two_radii(shape):
    attack = square(SquareInf, shape)
    for stage, (height, width) in enumerate(attack.windows):
        before, after = proposals(attack, 20, stage)
        assert set(np.unique(np.abs(before))) == {0.5}
        changed = np.abs(after - before) > 0
        np.testing.assert_array_equal(changed.any(axis=3).sum(axis=(1, 2)), height * width)
        np.testing.assert_allclose(np.abs(after - before)[changed], 1.0)
        assert np.all(changed.any(axis=3).any(axis=2).sum(axis=1) == height)


@pytest.mark.parametrize("shape", SHAPES)
def test_l2_query_spends_the_whole_budget(shape):
    attack = square(SquareL2, shape)
    for stage in range(len(attack.windows)):
        before, after = proposals(attack, 20, stage)
        for image in (before, after):
            np.testing.assert_allclose(
                np.linalg.norm(image.reshape(20, -1), axis=1), 0.5, rtol=1e-4
            )


def test_l2_query_moves_the_budget_of_two_windows_into_one():
    attack = square(SquareL2, (28, 28, 1))
    stage = next(i for i, sides in enumerate(attack.windows) if sides[0] == 7)
    before, after = proposals(attack, 50, stage)
    changed = ~np.isclose(before, after, atol=1e-6)
    assert np.all(changed.sum(axis=(1, 2, 3)) <= 2 * 7 * 7)
    emptied = changed & (after == 0)
    assert emptied.any() and np.all(emptied.sum(axis=(1, 2, 3)) <= 7 * 7)


def test_windows_reach_every_pixel():
    attack = square(SquareInf, (6, 6, 1))
    before, after = proposals(attack, 400, len(attack.windows) - 1)
    assert np.all((before != after).any(axis=(0, 3)))


def test_as_many_queries_as_asked_for():
    assert len(square(SquareInf, (8, 8, 1), queries=137).stages) == 137
    assert square(SquareInf, (8, 8, 1), queries=1).windows == [(0, 0)]
