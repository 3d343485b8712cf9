"""Values of the hinge-KR losses against hand-computed numbers, POT and scikit-learn."""

import keras
import numpy as np
import pytest
from sklearn.metrics import hinge_loss, log_loss

from lipot import losses
from lipot.math.precision import widest_float

LOGITS = np.random.default_rng(0).normal(size=(12, 4))
CLASSES = np.arange(12) % 4
ONE_HOT = np.eye(4)[CLASSES]
WEIGHTS = np.random.default_rng(1).uniform(0.5, 2.0, size=12)
SCORES = LOGITS[:, :1]
SIGNS = np.where(CLASSES < 2, 1, -1)


def test_kr_is_the_difference_of_the_class_means():
    y_true = np.array([1, 1, 0, 0, 0])
    y_pred = np.array([[3.0], [5.0], [1.0], [2.0], [-6.0]])
    assert float(losses.KR()(y_true, y_pred)) == pytest.approx(4.0 - (-1.0))
    assert float(losses.HKR(alpha=0.0)(y_true, y_pred)) == pytest.approx(-5.0)


def test_kr_of_the_identity_is_the_wasserstein_distance_of_ordered_clouds():
    ot = pytest.importorskip("ot")
    rng = np.random.default_rng(0)
    right, left = rng.uniform(3, 5, size=40), rng.uniform(-2, 2, size=25)
    x = np.concatenate([right, left])
    y_true = np.concatenate([np.ones(40), np.zeros(25)])
    weights = rng.uniform(0.1, 3.0, size=65)
    distance = ot.wasserstein_1d(
        right, left, weights[:40] / weights[:40].sum(), weights[40:] / weights[40:].sum(), p=1
    )
    value = losses.KR()(y_true, x[:, None], sample_weight=weights)
    assert float(value) == pytest.approx(float(distance), rel=1e-5)


def test_kr_of_the_optimal_critic_is_the_wasserstein_distance_of_mixed_clouds():
    ot = pytest.importorskip("ot")
    rng = np.random.default_rng(1)
    first, second = rng.normal(0.0, 2.0, size=30), rng.normal(0.5, 0.5, size=30)
    x = np.sort(np.concatenate([first, second]))
    is_first = np.isin(x, first)
    # In one dimension the critic climbs where the second cloud is ahead: f' = sign(G - F).
    slope = np.sign(np.cumsum(~is_first) - np.cumsum(is_first))[:-1]
    critic = np.concatenate([[0.0], np.cumsum(slope * np.diff(x))])
    value = float(losses.KR()(is_first, critic[:, None]))
    assert value == pytest.approx(float(ot.wasserstein_1d(first, second, p=1)), rel=1e-5)
    assert value > abs(first.mean() - second.mean()) + 0.1


def test_multiclass_kr_is_the_mean_over_the_classes():
    expected = [LOGITS[k == CLASSES, k].mean() - LOGITS[k != CLASSES, k].mean() for k in range(4)]
    value = losses.MulticlassKR()(ONE_HOT, LOGITS)
    assert float(value) == pytest.approx(np.mean(expected), rel=1e-5)


def test_hkr_by_hand():
    y_true = np.array([[1], [1], [0]])
    y_pred = np.array([[0.0], [3.0], [0.5]])
    # Hinges of 2/2 - y f: 1, 0 and 1.5; class means 1.5 and 0.5.
    loss = losses.HKR(alpha=6.0, min_margin=2.0)
    assert float(loss(y_true, y_pred)) == pytest.approx(-1.0 + 6.0 * 2.5 / 3)


@pytest.mark.smoke
def test_multiclass_hkr_by_hand():
    y_true = np.eye(3)
    y_pred = np.array([[1.0, -1.0, 0.0], [0.0, 0.25, -1.0], [-1.0, -1.0, 2.0]])
    # KR: 1 - (0 - 1) / 2 = 1.5; 0.25 + 1 = 1.25; 2 - (0 - 1) / 2 = 2.5.
    # Hinges at 0.5, the true class twice: 0.5 (f_02), 2 * 0.25 + 0.5 (row 1), 0.
    loss = losses.MulticlassHKR(alpha=9.0, min_margin=1.0)
    assert float(loss(y_true, y_pred)) == pytest.approx(-5.25 / 3 + 9.0 * 1.5 / 9, rel=1e-6)


def test_equation_12_weighs_all_classes_alike():
    y_pred = np.array([[1.0, -1.0, 0.0], [0.0, 0.25, -1.0], [-1.0, -1.0, 2.0]])
    # As above, with the true class once: 0.5 (f_02), 0.25 + 0.5 (row 1), 0.
    loss = losses.MulticlassHKR(alpha=9.0, min_margin=1.0, balanced=False)
    assert float(loss(np.eye(3), y_pred)) == pytest.approx(-5.25 / 3 + 9.0 * 1.25 / 9, rel=1e-6)
    # Equation 12 itself, with m = 1: a sum over the classes of hinges averaged over samples.
    signs = 2 * ONE_HOT - 1
    expected = np.sum(np.maximum(0.0, 1.0 - signs * LOGITS).mean(axis=0))
    hinge = losses.MulticlassHinge(min_margin=2.0, balanced=False)
    assert 4.0 * float(hinge(ONE_HOT, LOGITS)) == pytest.approx(expected, rel=1e-6)
    assert float(losses.MulticlassHinge(min_margin=2.0)(ONE_HOT, LOGITS)) > expected / 4 + 0.1
    for made in (loss, hinge):
        assert type(made).from_config(made.get_config()).balanced is False
    with pytest.raises(ValueError, match="`balanced`"):
        losses.MulticlassHinge(balanced=0.5)


@pytest.mark.parametrize(
    "pair",
    [
        (losses.HKR(alpha=float("inf"), min_margin=0.7), losses.HingeMargin(0.7)),
        (losses.MulticlassHKR(alpha=float("inf"), min_margin=0.7), losses.MulticlassHinge(0.7)),
    ],
    ids=["binary", "multiclass"],
)
def test_an_infinite_alpha_leaves_the_hinge(pair):
    hkr, hinge = pair
    value = float(hkr(ONE_HOT, LOGITS))
    assert value == pytest.approx(float(hinge(ONE_HOT, LOGITS)))
    assert value > 0.0


def test_hinge_margin_of_2_is_the_usual_hinge():
    value = losses.HingeMargin(min_margin=2.0)(SIGNS, SCORES, sample_weight=WEIGHTS)
    assert float(value) == pytest.approx(
        hinge_loss(SIGNS, SCORES[:, 0], sample_weight=WEIGHTS), rel=1e-5
    )


def test_categorical_hinge_is_the_crammer_singer_hinge():
    value = losses.CategoricalHinge(min_margin=1.0)(ONE_HOT, LOGITS, sample_weight=WEIGHTS)
    assert float(value) == pytest.approx(
        hinge_loss(CLASSES, LOGITS, sample_weight=WEIGHTS), rel=1e-5
    )


def test_categorical_hinge_of_negative_logits():
    value = losses.CategoricalHinge(min_margin=1.0)([[1, 0, 0]], [[-5.0, -5.5, -9.0]])
    assert float(value) == pytest.approx(0.5)


def test_multi_margin_by_hand():
    y_true = np.array([[0, 1, 0], [1, 0, 0]])
    y_pred = np.array([[0.5, 1.0, -3.0], [0.0, 0.0, 2.0]])
    # Row 0: max(0, 1 - 1 + 0.5) and 0; row 1: 1 and 3.
    value = losses.MultiMargin(min_margin=1.0)(y_true, y_pred)
    assert float(value) == pytest.approx((0.5 / 3 + 4.0 / 3) / 2)


@pytest.mark.parametrize("tau", [0.5, 8.0])
def test_tau_crossentropies_are_log_losses_of_scaled_logits(tau):
    exp = np.exp(tau * LOGITS)
    expected = log_loss(CLASSES, exp / exp.sum(axis=1, keepdims=True)) / tau
    dense = losses.TauCategoricalCrossentropy(tau)(ONE_HOT, LOGITS)
    sparse = losses.TauSparseCategoricalCrossentropy(tau)(CLASSES, LOGITS)
    assert float(dense) == pytest.approx(expected, rel=1e-5)
    assert float(sparse) == pytest.approx(expected, rel=1e-5)
    binary = losses.TauBinaryCrossentropy(tau)(SIGNS, SCORES)
    probability = 1.0 / (1.0 + np.exp(-tau * SCORES[:, 0]))
    assert float(binary) == pytest.approx(log_loss(SIGNS, probability) / tau, rel=1e-5)


@pytest.mark.parametrize(
    "loss",
    [losses.KR(), losses.HKR(5.0), losses.HingeMargin(), losses.TauBinaryCrossentropy(2.0)],
    ids=lambda loss: loss.name,
)
def test_binary_label_conventions_agree(loss):
    forms = [SIGNS, SIGNS[:, None], SIGNS > 0, (SIGNS > 0).astype("int64"), SIGNS.astype("float32")]
    values = [float(loss(form, SCORES)) for form in forms]
    values.append(float(loss(SIGNS, SCORES[:, 0])))
    np.testing.assert_allclose(values, values[0], rtol=1e-6)
    assert abs(float(loss(-SIGNS, SCORES)) - values[0]) > 0.01


@pytest.mark.parametrize(
    "loss",
    [
        losses.MulticlassKR(),
        losses.MulticlassHKR(5.0),
        losses.MulticlassHinge(),
        losses.MultiMargin(),
        losses.CategoricalHinge(1.0),
    ],
    ids=lambda loss: loss.name,
)
def test_one_hot_label_conventions_agree(loss):
    value = float(loss(ONE_HOT, LOGITS))
    assert float(loss(2.0 * ONE_HOT - 1.0, LOGITS)) == pytest.approx(value, rel=1e-6)
    assert float(loss(ONE_HOT.astype("uint8"), LOGITS)) == pytest.approx(value, rel=1e-6)


def test_one_binary_problem_for_each_output():
    y_true = np.stack([SIGNS, -SIGNS], axis=1)
    for loss in (losses.KR(), losses.HKR(5.0), losses.HingeMargin()):
        each = [float(loss(y_true[:, k], LOGITS[:, k])) for k in (0, 1)]
        assert float(loss(y_true, LOGITS[:, :2])) == pytest.approx(np.mean(each), abs=1e-5)


def test_frequency_weighted_labels_of_several_gpus_are_read_by_sign():
    counts = ONE_HOT.sum(axis=0)
    weighted = 12 * (ONE_HOT / counts - (1 - ONE_HOT) / (12 - counts))
    plain = losses.MulticlassHKR(alpha=5.0)(ONE_HOT, LOGITS)
    value = losses.MulticlassHKR(alpha=5.0, multi_gpu=True)(weighted, LOGITS)
    assert float(value) == pytest.approx(float(plain), rel=1e-6)


def equation_12(y, f, m, weight):
    """Equation 12 of Serrurier et al. as it is written, one expectation and class at a time."""
    total = 0.0
    for k in range(f.shape[1]):
        own, others = [], []
        for label, row in zip(y, f):
            (own if label == k else others).append(float(row[k]))
        hinges = [max(0.0, m - v) for v in own] + [max(0.0, m + v) for v in others]
        total += np.mean(others) - np.mean(own) + weight * np.mean(hinges)
    return total


def test_the_multiclass_loss_is_equation_12_over_the_number_of_classes():
    y = np.array([0, 1, 2, 1])
    f = np.array([[2.0, 0.0, -1.0], [0.5, -0.25, 0.0], [-1.0, 1.0, 3.0], [0.0, 0.5, 0.5]])
    # By class: -1/6 - 2, 1/2 - 1/8 and -1/6 - 3; the hinges of the rows are 1, 3.75, 2 and 3.
    assert equation_12(y, f, 1.0, 2.0) == pytest.approx(-119 / 24 + 2 * 9.75 / 4)
    for labels, scores, m, weight in ((y, f, 1.0, 2.0), (CLASSES, LOGITS, 0.375, 7.0)):
        loss = losses.MulticlassHKR(weight, 2 * m, dtype="float64", balanced=False)
        one_hot = np.eye(scores.shape[1])[labels]
        expected = equation_12(labels, scores, m, weight) / scores.shape[1]
        exact = 1e-12 if widest_float() == "float64" else 1e-5
        assert float(loss(one_hot, scores)) == pytest.approx(expected, rel=exact)


def test_float64():
    loss = losses.MulticlassHKR(alpha=0.1, min_margin=0.3, dtype="float64")
    value = loss(ONE_HOT, LOGITS, sample_weight=WEIGHTS)
    # JAX has no float64 unless it is switched on.
    assert value.dtype == keras.ops.cast(0.0, "float64").dtype
    single = losses.MulticlassHKR(alpha=0.1, min_margin=0.3)(ONE_HOT, LOGITS, WEIGHTS)
    assert float(value) == pytest.approx(float(single), rel=1e-5)
