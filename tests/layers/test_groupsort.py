"""Tests of the GroupSort activations."""

import keras
import numpy as np
import pytest

from lipot import backend
from lipot.layers import FullSort, GroupSort, GroupSort2
from tests.helpers import check_layer, to_numpy
from tests.lipschitz import check_bound, check_half_precision, jacobians


def _random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_values_by_hand():
    x = np.array([[4.0, 3.0, 2.0, 1.0, -1.0, 0.0]], "float32")
    np.testing.assert_array_equal(GroupSort2()(x), [[3, 4, 1, 2, -1, 0]])
    np.testing.assert_array_equal(GroupSort(3)(x), [[2, 3, 4, -1, 0, 1]])
    np.testing.assert_array_equal(FullSort()(x), [[-1, 0, 1, 2, 3, 4]])
    np.testing.assert_array_equal(GroupSort(k_coef_lip=2.0)(x), [[-2, 0, 2, 4, 6, 8]])
    np.testing.assert_array_equal(GroupSort(1)(x), x)


def test_the_shortcuts_are_groupsort():
    x = _random(4, 5, 5, 6)
    np.testing.assert_array_equal(GroupSort2()(x), GroupSort(2)(x))
    np.testing.assert_array_equal(FullSort()(x), GroupSort(None)(x))
    np.testing.assert_array_equal(FullSort()(x), GroupSort(6)(x))


@pytest.mark.parametrize("layer_class, n", [(GroupSort, 2), (GroupSort, 3), (GroupSort, None)])
@pytest.mark.parametrize("k_coef_lip", [1.0, 0.7])
def test_no_attack_beats_the_bound(layer_class, n, k_coef_lip):
    layer = layer_class(n, k_coef_lip=k_coef_lip, dtype="float64")
    layer.build((None, 2, 6))
    assert layer.lipschitz_bound == k_coef_lip
    check_bound(layer, (2, 6), attained=0.999)


def test_any_pair_of_vectors_comes_closer():
    x, y = _random(2000, 12).astype("float64"), np.random.default_rng(1).normal(size=(2000, 12))
    for n in (2, 3, 12):
        layer = GroupSort(n, dtype="float64")
        change = np.linalg.norm(np.asarray(layer(x)) - np.asarray(layer(y)), axis=1)
        assert np.all(change <= np.linalg.norm(x - y, axis=1) * (1 + 1e-12))


def test_the_gradient_keeps_its_norm_through_blank_images():
    # All values tie: a plain minimum and maximum would stretch this gradient by sqrt(2).
    layer = GroupSort2(dtype="float64")
    layer.build((None, 4, 4, 2))
    (jacobian,) = jacobians(layer, np.zeros((1, 4, 4, 2)))
    np.testing.assert_array_equal(jacobian @ jacobian.T, np.eye(32))


@pytest.mark.parametrize(
    "layer", [GroupSort2(), GroupSort2(k_coef_lip=0.3), FullSort(), GroupSort(3)]
)
def test_half_precision_keeps_the_bound(layer):
    layer.build((None, 6))
    check_half_precision(layer, (6,))


@pytest.mark.parametrize(
    "make, shape",
    [
        (lambda: GroupSort(3, k_coef_lip=0.5), (2, 4, 4, 6)),
        (lambda: GroupSort2(), (2, 8)),
        (lambda: GroupSort2(data_format="channels_first"), (2, 6, 4, 5)),
        (lambda: FullSort(), (2, 7)),
    ],
)
def test_round_trips(make, shape, tmp_path):
    check_layer(make(), shape, tmp_path)


def test_unknown_image_sizes():
    inputs = keras.Input((None, None, 4))
    model = keras.Model(inputs, GroupSort2()(inputs))
    assert model.output_shape == (None, None, None, 4)
    x = _random(2, 3, 5, 4)
    np.testing.assert_array_equal(model(x), GroupSort2()(x))


def test_building_does_not_change_the_configuration():
    layer = FullSort()
    layer.build((None, 5))
    assert layer.get_config()["data_format"] == "channels_last"
    assert "n" not in layer.get_config()
    np.testing.assert_array_equal(layer(_random(2, 7)), np.sort(_random(2, 7)))


@pytest.mark.parametrize("n", [0, -2, 1.5, "two", True])
def test_a_bad_group_size_is_named(n):
    with pytest.raises(ValueError, match="`n`.*positive integer"):
        GroupSort(n)


def test_groups_must_fill_the_channels():
    with pytest.raises(ValueError, match="`n`.*divisor.*7"):
        GroupSort2()(np.zeros((1, 7), "float32"))
    with pytest.raises(ValueError, match="`n`.*divisor.*4"):
        GroupSort(8)(np.zeros((1, 4), "float32"))
    with pytest.raises(ValueError, match="fixed number of channels"):
        GroupSort2().build((None, None))
    with pytest.raises(ValueError, match="`data_format`"):
        GroupSort2(data_format="channels_middle")
    with pytest.raises(ValueError, match="`k_coef_lip`"):
        GroupSort2(k_coef_lip=0.0)


def test_a_shared_layer_mixes_no_samples():
    # Pairs of an odd number of channels would reach into the next row.
    layer = GroupSort2()
    np.testing.assert_array_equal(to_numpy(layer(np.array([[2.0, 1.0, 4.0, 3.0]]))), [[1, 2, 3, 4]])
    np.testing.assert_array_equal(to_numpy(layer(np.array([[2.0, 1.0]]))), [[1, 2]])
    with pytest.raises(ValueError, match="`n`.*channels, 3"):
        layer(np.array([[1.0, 2.0, 3.0], [0.0, 5.0, 6.0]]))
    with pytest.raises(ValueError, match="`n`.*channels, 3"):
        keras.Model(inputs := keras.Input((3,)), layer(inputs))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 6), (2, 4, 5, 8)])
def test_training_sorts_bit_by_bit_as_inference_does(dtype, shape):
    x = _random(*shape)
    x[0, ..., :2], x[1, ..., 3] = 0.5, np.nan
    layer = GroupSort2(dtype=dtype)
    inference, training = (
        keras.ops.convert_to_numpy(keras.ops.cast(layer(x, training=mode), "float64"))
        for mode in (False, True)
    )
    np.testing.assert_array_equal(training, inference)


def test_training_differentiates_twice():
    x = keras.ops.convert_to_tensor([[3.0, 1.0, -2.0, 5.0, 4.0, 4.0]])
    rows = keras.ops.convert_to_tensor([[1.0, 10.0, 100.0, 1000.0, 7.0, 8.0]])
    layer = GroupSort2()
    _, gradient = backend.vjp(lambda x: layer(x, training=True), x, rows)
    # The first pair alone is out of order.
    np.testing.assert_array_equal(gradient, [[10, 1, 100, 1000, 7, 8]])

    def of_gradient(x):
        _, gradient = backend.vjp(lambda x: layer(x, training=True) ** 3, x, rows)
        return keras.ops.sum(gradient**2)

    # gradient = 3 r x^2, whose square has the derivative 36 r^2 x^3.
    _, second = backend.value_and_input_gradient(of_gradient, x)
    sorted_rows = np.array([[10, 1, 100, 1000, 7, 8]])
    np.testing.assert_allclose(second, 36.0 * sorted_rows**2 * np.asarray(x) ** 3, rtol=1e-5)
