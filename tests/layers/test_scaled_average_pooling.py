"""Tests of the scaled average poolings: values, explicit matrices, attacks on the bound."""

import keras
import numpy as np
import pytest

from lipot.layers import ScaledAveragePooling2D, ScaledGlobalAveragePooling2D
from tests.helpers import check_layer
from tests.lipschitz import check_bound, check_half_precision, jacobians


def _random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _built(layer, shape):
    layer.build((None, *shape))
    return layer


def test_values_by_hand():
    image = np.arange(16, dtype="float32").reshape(1, 4, 4, 1)
    # Sums of the four blocks, divided by sqrt(4).
    np.testing.assert_allclose(
        ScaledAveragePooling2D()(image)[0, ..., 0], [[5.0, 9.0], [21.0, 25.0]]
    )
    np.testing.assert_allclose(
        ScaledAveragePooling2D((1, 4), k_coef_lip=0.5)(image)[0, ..., 0],
        [[1.5], [5.5], [9.5], [13.5]],
    )
    np.testing.assert_allclose(ScaledGlobalAveragePooling2D()(image), [[30.0]])


def test_a_ragged_border_is_dropped():
    x = _random(2, 5, 7, 3)
    np.testing.assert_allclose(
        ScaledAveragePooling2D(2)(x), ScaledAveragePooling2D(2)(x[:, :4, :6]), rtol=1e-6
    )


@pytest.mark.parametrize(
    "pool_size, strides",
    [(2, None), ((3, 2), None), (2, 3), (3, 2), ((3, 1), (1, 1)), (2, 1)],
)
@pytest.mark.parametrize("size", [(4, 5), (7, 6)])
def test_no_attack_beats_the_bound(pool_size, strides, size):
    layer = ScaledAveragePooling2D(pool_size, strides, k_coef_lip=0.9, dtype="float64")
    _built(layer, (*size, 1))
    assert layer.lipschitz_bound == 0.9
    overlapping = strides is not None and np.any(np.less(strides, pool_size))
    check_bound(layer, (*size, 1), attained=0.5 if overlapping else 0.999)


def test_the_bound_of_overlapping_windows_is_attained_in_large_images():
    # Windows of 3 every 2: the values that two windows share weigh twice.
    row = np.tile([2.0, 1.0], 1000)[None, None, :-1, None].astype("float32")
    output = np.asarray(ScaledAveragePooling2D((1, 3), (1, 2))(row))
    assert 0.999 < np.linalg.norm(output) / np.linalg.norm(row) <= 1.0


def test_disjoint_windows_are_orthonormal_rows():
    layer = _built(ScaledAveragePooling2D(2, dtype="float64"), (5, 4, 2))
    (jacobian,) = jacobians(layer, np.zeros((1, 5, 4, 2)))
    np.testing.assert_allclose(jacobian @ jacobian.T, np.eye(8), atol=1e-12)


@pytest.mark.parametrize("size", [(4, 5), (1, 7)])
def test_global_pooling_attains_its_bound(size):
    layer = _built(ScaledGlobalAveragePooling2D(k_coef_lip=1.3, dtype="float64"), (*size, 2))
    assert layer.lipschitz_bound == 1.3
    check_bound(layer, (*size, 2), attained=0.999)


def test_the_bound_holds_for_every_size_of_one_layer():
    for layer in (ScaledGlobalAveragePooling2D(), ScaledAveragePooling2D(2)):
        model = keras.Sequential([keras.Input((None, None, 2)), layer])
        for size in (2, 6, 11):
            image = np.ones((1, size, size, 2), "float32")
            ratio = np.linalg.norm(model(image)) / np.linalg.norm(image)
            full = size // 2 * 2 if layer.name.startswith("scaled_average") else size
            np.testing.assert_allclose(ratio, full / size, rtol=1e-6)


def test_half_precision_keeps_the_bound():
    check_half_precision(_built(ScaledAveragePooling2D(3), (7, 6, 2)), (7, 6, 2))
    check_half_precision(_built(ScaledGlobalAveragePooling2D(), (7, 6, 2)), (7, 6, 2))


@pytest.mark.parametrize(
    "make, shape",
    [
        (lambda: ScaledAveragePooling2D((2, 3), k_coef_lip=0.5), (2, 6, 7, 3)),
        (lambda: ScaledAveragePooling2D(2, 1, data_format="channels_first"), (2, 3, 6, 7)),
        (lambda: ScaledGlobalAveragePooling2D(k_coef_lip=0.5), (2, 6, 7, 3)),
        (lambda: ScaledGlobalAveragePooling2D("channels_first", keepdims=True), (2, 3, 6, 7)),
    ],
)
def test_round_trips(make, shape, tmp_path):
    check_layer(make(), shape, tmp_path)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`padding`.*ZeroPadding2D.*'same'"):
        ScaledAveragePooling2D(2, padding="same")
    with pytest.raises(ValueError, match="`pool_size`.*-1"):
        ScaledAveragePooling2D(-1)
    with pytest.raises(ValueError, match="`strides`.*0"):
        ScaledAveragePooling2D(2, strides=0)
    with pytest.raises(ValueError, match="`pool_size`.*image size"):
        ScaledAveragePooling2D(4)(np.zeros((1, 3, 8, 1), "float32"))
    with pytest.raises(ValueError, match="`data_format`"):
        ScaledGlobalAveragePooling2D(data_format="last")
    with pytest.raises(ValueError, match="`k_coef_lip`"):
        ScaledGlobalAveragePooling2D(k_coef_lip=-1)
