"""The range of the data is recognized or asked for, never guessed."""

import numpy as np
import pytest

from lipot.certificates.input_scale import InputScale
from lipot.evaluation.run.ranges import Range, UnknownRange, find_range

IMAGES = np.linspace(0.0, 1.0, 2 * 6 * 6 * 3).reshape(2, 6, 6, 3)
FITS, OFF = InputScale(0.0, 1.0, True), InputScale(0.0, 0.004, False)


@pytest.mark.parametrize("shape", [(6, 6, 6), (6, 6, 6, 1), (2, 6, 6, 3), (2, 3, 6, 6)])
def test_recognizes_the_two_usual_ranges_of_images(shape):
    images = np.linspace(0.0, 0.98, np.prod(shape)).reshape(shape)
    assert find_range(images)[:2] == (0.0, 1.0)
    assert find_range(images).how == "recognized: the images lie between 0 and 0.98"
    pixels = (255 * images).astype("uint8")
    found = find_range(pixels, scale=FITS)
    assert found[:2] == (0.0, 255.0)
    assert found.how.endswith("the model's own first layers bring them to between 0 and 1")


@pytest.mark.parametrize("low_high", [(-0.1, 1.0), (0.0, 0.2), (0.0, 3.0), (0.0, 256.0)])
def test_asks_where_neither_fits(low_high):
    low, high = low_high
    with pytest.raises(UnknownRange, match=r"neither \[0, 1\] nor \[0, 255\]"):
        find_range(low + (high - low) * IMAGES, scale=FITS)


@pytest.mark.parametrize(
    "shape", [(72,), (6, 12), (6, 4, 3), (8, 3, 3), (2, 36, 1), (1, 6, 6, 2), (2, 2, 6, 3)]
)
def test_asks_where_inputs_are_no_images(shape):
    x = np.linspace(0.0, 1.0, 72).reshape(shape)
    for scale in (None, FITS):
        with pytest.raises(UnknownRange, match="recognized of images alone"):
            find_range(x, scale=scale)


def test_pixels_need_a_model_that_was_trained_on_them():
    with pytest.raises(UnknownRange, match="nothing in the model tells.*divide the images by 255"):
        find_range(255 * IMAGES)
    for images in (IMAGES, 255 * IMAGES):
        with pytest.raises(UnknownRange, match="between 0 and 0.004: it was not trained on such"):
            find_range(images, scale=OFF)


def test_a_given_range_that_the_model_was_not_trained_on_warns():
    with pytest.warns(UserWarning, match="probably trained on points of another scale"):
        found = find_range(IMAGES, (0, 1), OFF)
    assert found.how.startswith("given, and the model's own first layers bring them to between")


def test_given_range_must_hold_the_data():
    assert find_range(np.array([-2.0, 1.0]), (-3, 3)) == Range(-3.0, 3.0, "given")
    with pytest.raises(ValueError, match="`x`. Expected values between 0 and 1.*2 values outside"):
        find_range(np.array([-2.0, 0.5, 1.5]), (0, 1))


@pytest.mark.parametrize("clip_values", [(1, 0), (0, np.inf), 5, "ab", (0, 1, 2)])
def test_given_range_must_be_one(clip_values):
    with pytest.raises(ValueError, match="Expected two finite numbers"):
        find_range(np.array([0.0, 1.0]), clip_values)


def test_the_way_to_the_unit_interval_and_back():
    scale = Range(0.0, 255.0, "given")
    pixels = np.arange(256, dtype="float32")
    assert np.array_equal(scale.from_unit(scale.to_unit(pixels)), pixels)
    mean, std = scale.preprocessing
    assert np.allclose((scale.to_unit(pixels) - mean) / std, pixels, atol=1e-4)
    assert Range(0.0, 1.0, "given").preprocessing is None
