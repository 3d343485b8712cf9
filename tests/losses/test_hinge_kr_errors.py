"""Bad arguments, labels, predictions and weights: the error names what is wrong."""

import keras
import numpy as np
import pytest

from lipot import losses

NAN = float("nan")
BINARY = (np.array([0, 1, 1]), np.zeros((3, 1)))
MULTICLASS = (np.eye(3), np.zeros((3, 3)))


@pytest.mark.parametrize("value", [-1.0, NAN, "ten", None, True, [1.0, 2.0]])
@pytest.mark.parametrize("make", [losses.HKR, losses.MulticlassHKR])
def test_alpha(make, value):
    with pytest.raises(ValueError, match="argument `alpha`. Expected a non-negative number"):
        make(alpha=value)


@pytest.mark.parametrize("value", [-0.5, NAN, float("inf"), "wide"])
@pytest.mark.parametrize(
    "make",
    [
        lambda margin: losses.HKR(1.0, min_margin=margin),
        lambda margin: losses.MulticlassHKR(min_margin=margin),
        losses.HingeMargin,
        losses.MulticlassHinge,
        losses.MultiMargin,
        losses.CategoricalHinge,
    ],
)
def test_min_margin(make, value):
    with pytest.raises(ValueError, match="argument `min_margin`.*Received: min_margin="):
        make(value)


@pytest.mark.parametrize("value", [0.0, -2.0, NAN, float("inf"), None])
@pytest.mark.parametrize(
    "make",
    [
        losses.TauCategoricalCrossentropy,
        losses.TauSparseCategoricalCrossentropy,
        losses.TauBinaryCrossentropy,
    ],
)
def test_tau(make, value):
    with pytest.raises(ValueError, match="argument `tau`. Expected a positive finite number"):
        make(value)


def test_an_assigned_value_is_checked_too():
    loss = losses.HKR(alpha=3.0)
    for assign in (loss.alpha.assign, lambda value: setattr(loss, "alpha", value)):
        with pytest.raises(ValueError, match="Received: alpha=-1"):
            assign(-1)
    assert float(loss.alpha) == 3.0


@pytest.mark.parametrize("make", [losses.KR, losses.MulticlassKR])
def test_multi_gpu(make):
    with pytest.raises(ValueError, match="argument `multi_gpu`. Expected a boolean"):
        make(multi_gpu="sum")


def test_reduction():
    with pytest.raises(ValueError, match="`reduction`"):
        losses.KR(reduction="median")


@pytest.mark.parametrize(
    ("y_true", "y_pred", "named"),
    [
        (np.zeros((3, 2)), np.zeros((3, 1)), r"`y_true`.*\(batch, 1\).*\(3, 2\)"),
        (np.zeros(3), np.zeros((3, 2)), r"`y_true`.*that of `y_pred`.*\(3,\)"),
        (np.zeros((2, 1)), np.zeros((3, 1)), r"`y_true`.*\(2, 1\) with y_pred.shape=\(3, 1\)"),
        (np.zeros((3, 1, 1)), np.zeros((3, 1)), "`y_true`"),
        (np.zeros((3, 4, 1)), np.zeros((3, 4, 1)), r"`y_pred`.*\(batch, outputs\).*\(3, 4, 1\)"),
        (np.array([0, 1, 2]), np.zeros((3, 1)), r"`y_true`.*\{0, 1\}.*values \[0, 1, 2\]"),
        (np.array([0, 1, -1]), np.zeros((3, 1)), r"`y_true`.*values \[-1, 0, 1\]"),
        (np.array([0, 1, 0.9]), np.zeros((3, 1)), r"`y_true`.*values \[0, 0.9, 1\]"),
        (np.array([0, 1, NAN]), np.zeros((3, 1)), r"`y_true`.*nan"),
        (np.array([0, 1, 1]), np.full((3, 1), NAN), "`y_pred`. Expected finite numbers"),
    ],
)
def test_binary_labels(y_true, y_pred, named):
    for loss in (losses.HKR(1.0), losses.HingeMargin(), losses.TauBinaryCrossentropy(1.0)):
        with pytest.raises(ValueError, match=named):
            loss(y_true, y_pred)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "named"),
    [
        (np.array([0, 1, 2]), np.zeros((3, 3)), r"`y_true`.*one-hot.*to_categorical\(y, 3\)"),
        (np.array([[0], [1], [2]]), np.zeros((3, 3)), r"`y_true`.*to_categorical"),
        (np.eye(4), np.zeros((4, 3)), r"`y_true`.*\(batch, 3\).*\(4, 4\)"),
        (np.ones((3, 1)), np.zeros((3, 1)), "`y_pred`.*at least 2 classes"),
        (np.eye(3)[0], np.zeros(3), r"`y_pred`.*\(3,\)"),
        (np.ones((3, 3)), np.zeros((3, 3)), "`y_true`.*exactly one positive"),
        (np.zeros((3, 3)), np.zeros((3, 3)), "`y_true`.*exactly one positive"),
        (2 * np.eye(3), np.zeros((3, 3)), "`y_true`.*values"),
        (np.eye(3), np.full((3, 3), np.inf), "`y_pred`. Expected finite numbers"),
    ],
)
def test_one_hot_labels(y_true, y_pred, named):
    for loss in (losses.MulticlassHKR(), losses.MultiMargin(), losses.CategoricalHinge(1.0)):
        with pytest.raises(ValueError, match=named):
            loss(y_true, y_pred)


def test_distributions():
    loss = losses.TauCategoricalCrossentropy(1.0)
    loss(np.array([[0.9, 0.1]]), np.zeros((1, 2)))
    for wrong in ([[1.0, 0.5]], [[-1.0, 2.0]], [[NAN, 1.0]]):
        with pytest.raises(ValueError, match="`y_true`. Expected non-negative rows that sum to 1"):
            loss(np.array(wrong), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="`y_true`.*to_categorical"):
        loss(np.array([1]), np.zeros((1, 2)))


def test_class_numbers():
    loss = losses.TauSparseCategoricalCrossentropy(1.0)
    for wrong in ([0, 3], [-1, 0], [0.5, 1]):
        with pytest.raises(ValueError, match="`y_true`. Expected class numbers from 0 to 2"):
            loss(np.array(wrong), np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"`y_true`.*\(batch,\) or \(batch, 1\).*\(2, 3\)"):
        loss(np.eye(3)[:2], np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("weights", "named"),
    [
        (np.ones(2), r"`sample_weight`.*\(2,\)"),
        (np.ones((3, 3)), r"`sample_weight`.*\(3, 3\)"),
        (np.array([1.0, -1.0, 1.0]), "`sample_weight`. Expected non-negative finite"),
        (np.array([1.0, NAN, 1.0]), "`sample_weight`. Expected non-negative finite"),
    ],
)
def test_sample_weights(weights, named):
    with pytest.raises(ValueError, match=named):
        losses.KR()(*BINARY, sample_weight=weights)
    with pytest.raises(ValueError, match=named):
        losses.MultiMargin()(*MULTICLASS, sample_weight=weights)


def _model(outputs, loss):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(outputs)])
    model.compile("sgd", loss)
    return model


def test_fit_refuses_wrong_shapes_before_the_first_step():
    model = _model(3, losses.MulticlassHKR())
    before = model.get_weights()
    with pytest.raises(ValueError, match="one-hot"):
        model.fit(np.zeros((8, 2)), np.arange(8) % 3, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_fit_on_wrong_values_cannot_go_unnoticed():
    model = _model(1, losses.HKR(alpha=1.0))
    x, y = np.ones((8, 2)), np.array([1, 2] * 4)
    try:
        seen = model.fit(x, y, verbose=0).history["loss"][0]
    except ValueError as error:  # backends that train eagerly can raise
        seen = float("nan") if "`y_true`" in str(error) else 0.0
    assert np.isnan(seen)
