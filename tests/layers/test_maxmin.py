"""Tests of the MaxMin activation."""

import numpy as np
import pytest

from lipot.layers import MaxMin
from tests.helpers import check_layer
from tests.lipschitz import check_bound, check_half_precision


def _random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_values_by_hand():
    x = np.array([[1.0, -2.0, 0.0]], "float32")
    np.testing.assert_array_equal(MaxMin(k_coef_lip=3.0)(x), [[3, 0, 0, 0, 6, 0]])


def test_the_norm_is_kept():
    x = _random(20, 9)
    np.testing.assert_allclose(
        np.linalg.norm(MaxMin()(x), axis=1), np.linalg.norm(x, axis=1), rtol=1e-6
    )


@pytest.mark.parametrize("k_coef_lip", [1.0, 0.4])
def test_no_attack_beats_the_bound(k_coef_lip):
    layer = MaxMin(k_coef_lip=k_coef_lip, dtype="float64")
    layer.build((None, 2, 5))
    assert layer.lipschitz_bound == k_coef_lip
    check_bound(layer, (2, 5), attained=0.999)


def test_half_precision_keeps_the_bound():
    layer = MaxMin(k_coef_lip=0.3)
    layer.build((None, 5))
    check_half_precision(layer, (5,))


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_round_trips(data_format, tmp_path):
    model = check_layer(MaxMin(data_format, k_coef_lip=0.5), (2, 6, 4, 6), tmp_path)
    doubled = (None, 6, 4, 12) if data_format == "channels_last" else (None, 12, 4, 6)
    assert model.output_shape == doubled


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`data_format`"):
        MaxMin("NHWC")
    with pytest.raises(ValueError, match="`k_coef_lip`"):
        MaxMin(k_coef_lip=float("nan"))
    with pytest.raises(ValueError, match="fixed number of channels"):
        MaxMin().build((None, 3, None))
