"""Sample weights and absent classes: what a batch may look like and still be read rightly."""

import numpy as np
import pytest

from lipot import losses

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(7, 3))
CLASSES = np.array([0, 1, 2, 0, 1, 0, 2])
REPEATS = np.array([1, 3, 0, 2, 1, 4, 2])
ONE_HOT = np.eye(3)[CLASSES]
BINARY = np.where(CLASSES == 0, 1, -1)

CASES = [
    (losses.KR, {}, BINARY, LOGITS[:, :1]),
    (losses.HKR, {"alpha": 7.0, "min_margin": 0.8}, BINARY, LOGITS[:, :1]),
    (losses.HingeMargin, {"min_margin": 0.8}, BINARY, LOGITS[:, :1]),
    (losses.TauBinaryCrossentropy, {"tau": 3.0}, BINARY, LOGITS[:, :1]),
    (losses.MulticlassKR, {}, ONE_HOT, LOGITS),
    (losses.MulticlassHKR, {"alpha": 7.0, "min_margin": 0.8}, ONE_HOT, LOGITS),
    (losses.MulticlassHinge, {"min_margin": 0.8}, ONE_HOT, LOGITS),
    (losses.MultiMargin, {"min_margin": 0.8}, ONE_HOT, LOGITS),
    (losses.CategoricalHinge, {"min_margin": 0.8}, ONE_HOT, LOGITS),
    (losses.TauCategoricalCrossentropy, {"tau": 3.0}, ONE_HOT, LOGITS),
    (losses.TauSparseCategoricalCrossentropy, {"tau": 3.0}, CLASSES, LOGITS),
    (losses.SoftHKR, {"alpha": 7.0, "min_margin": 0.8}, ONE_HOT, LOGITS),
    (losses.LogSumExpHKR, {"alpha": 7.0, "min_margin": 0.8}, ONE_HOT, LOGITS),
    (losses.MarginCategoricalCrossentropy, {"tau": 3.0, "min_margin": 0.8}, ONE_HOT, LOGITS),
    (losses.EMMA, {"eps": 0.3, "tau": 3.0}, ONE_HOT, LOGITS),
    (losses.GloRo, {"eps": 0.3, "tau": 3.0}, ONE_HOT, LOGITS),
    (losses.GloRoTRADES, {"eps": 0.3, "weight": 2.0}, ONE_HOT, LOGITS),
]
every_loss = pytest.mark.parametrize(
    ("make", "arguments", "y_true", "y_pred"), CASES, ids=[case[0].__name__ for case in CASES]
)


@every_loss
def test_weights_are_repeated_samples(make, arguments, y_true, y_pred):
    loss = make(**arguments)
    repeated = float(loss(np.repeat(y_true, REPEATS, axis=0), np.repeat(y_pred, REPEATS, axis=0)))
    weighted = float(loss(y_true, y_pred, sample_weight=REPEATS))
    assert weighted == pytest.approx(repeated, rel=1e-5)
    assert abs(weighted - float(loss(y_true, y_pred))) > 1e-3
    column = loss(y_true, y_pred, sample_weight=0.25 * REPEATS[:, None])
    assert float(column) == pytest.approx(repeated, rel=1e-5)


@every_loss
def test_reductions_agree(make, arguments, y_true, y_pred):
    mean = float(make(**arguments)(y_true, y_pred, sample_weight=REPEATS))

    def reduced(reduction):
        loss = make(**arguments, reduction=reduction)
        return np.asarray(loss(y_true, y_pred, sample_weight=REPEATS))

    each = reduced("none")
    assert each.shape == (7,)
    assert each[2] == 0.0
    total = REPEATS.sum() * mean
    assert each.sum() == pytest.approx(total, rel=1e-4)
    assert float(reduced("sum")) == pytest.approx(total, rel=1e-5)
    assert float(reduced("sum_over_batch_size")) == pytest.approx(total / 7, rel=1e-5)
    assert np.asarray(make(**arguments).call(y_true, y_pred)).mean() == pytest.approx(
        float(make(**arguments)(y_true, y_pred)), rel=1e-5
    )


@every_loss
def test_a_batch_without_weight_costs_nothing(make, arguments, y_true, y_pred):
    assert float(make(**arguments)(y_true, y_pred, sample_weight=np.zeros(7))) == 0.0


def test_an_absent_class_contributes_nothing():
    y_true = np.eye(3)[[0, 0, 1]]
    y_pred = np.array([[2.0, 0.0, 50.0], [4.0, 1.0, 60.0], [1.0, 3.0, 70.0]])
    # Classes 0 and 1: 3 - 1 and 3 - 0.5. Class 2 is absent.
    assert float(losses.MulticlassKR()(y_true, y_pred)) == pytest.approx((2.0 + 2.5) / 2)


@pytest.mark.parametrize("label", [0, 1, -1])
def test_a_batch_of_one_class_has_no_kr(label):
    y_true, y_pred = np.full(4, label), np.arange(4.0)[:, None]
    assert float(losses.KR()(y_true, y_pred)) == 0.0
    hinge = float(losses.HingeMargin()(y_true, y_pred))
    assert float(losses.HKR(alpha=3.0)(y_true, y_pred)) == pytest.approx(3.0 * hinge)


def test_a_class_of_weight_zero_is_absent():
    weights = np.where(CLASSES == 2, 0.0, 1.0)
    kept = CLASSES != 2
    weighted = losses.MulticlassKR()(ONE_HOT, LOGITS, sample_weight=weights)
    assert float(weighted) == pytest.approx(
        float(losses.MulticlassKR()(ONE_HOT[kept], LOGITS[kept])), rel=1e-5
    )


@pytest.mark.parametrize("present", [[0], [0, 1], [0, 1, 2], [1, 2, 3, 0]])
def test_kr_ignores_a_constant_whatever_the_classes(present):
    classes = np.array(present * 5)
    y_pred = RNG.normal(size=(len(classes), 4))
    shifted = y_pred + np.array([5.0, -3.0, 2.0, 9.0])
    loss = losses.MulticlassKR()
    y_true = np.eye(4)[classes]
    assert float(loss(y_true, shifted)) == pytest.approx(float(loss(y_true, y_pred)), abs=1e-5)


def test_one_sample():
    value = losses.MulticlassHKR(alpha=2.0)(np.eye(3)[:1], np.array([[0.5, -0.5, 0.0]]))
    assert float(value) == pytest.approx(2.0 * 0.5 / 3)
