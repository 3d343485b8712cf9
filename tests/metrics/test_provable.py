"""The provable robustness metrics against hand-computed radii, in and out of compiled models."""

import keras
import numpy as np
import pytest

from lipot import metrics
from tests.helpers import check_serializable
from tests.public_classes import make_with, public_classes

LOGITS = np.array([[3.0, 1.0, 0.0], [0.0, 1.0, 0.5], [2.0, 0.0, 1.0], [0.0, 0.2, -1.0]])
CLASSES = np.array([0, 1, 2, 1])
ONE_HOT = np.eye(3)[CLASSES]
MARGINS = np.array([2.0, 0.5, -1.0, 0.2])

SCORES = np.array([[0.8], [-0.1], [-0.4], [0.3]])
SIGNS = np.array([1, -1, 1, 1])
RADII = np.array([0.8, 0.1, -0.4, 0.3])


@pytest.mark.parametrize(("epsilon", "share"), [(0.0, 3 / 4), (0.2, 2 / 4), (0.9, 1 / 4), (1.0, 0)])
def test_categorical_accuracy_counts_radii_above_epsilon(epsilon, share):
    metric = metrics.CategoricalProvableRobustAccuracy(epsilon=epsilon)
    assert float(metric(ONE_HOT, LOGITS)) == pytest.approx(share)


def test_categorical_radius():
    mean = metrics.CategoricalProvableAvgRobustness()
    assert float(mean(ONE_HOT, LOGITS)) == pytest.approx(np.maximum(MARGINS, 0).mean() / 2)
    joint = metrics.CategoricalProvableAvgRobustness(
        lip_const=4.0, disjoint_neurons=False, negative_robustness=True
    )
    assert float(joint(ONE_HOT, LOGITS)) == pytest.approx(MARGINS.mean() / (4.0 * np.sqrt(2.0)))


def test_the_lipschitz_constant_and_the_neurons_scale_the_radius():
    def accuracy(epsilon, **arguments):
        metric = metrics.CategoricalProvableRobustAccuracy(epsilon=epsilon, **arguments)
        return float(metric(ONE_HOT[:1], LOGITS[:1]))

    # A margin of 2: radius 1, or sqrt(2) for a vector, divided by the constant.
    for arguments, radius in [
        ({}, 1.0),
        ({"disjoint_neurons": False}, np.sqrt(2.0)),
        ({"lip_const": 0.5}, 2.0),
        ({"lip_const": 3.0, "disjoint_neurons": False}, np.sqrt(2.0) / 3.0),
    ]:
        assert accuracy(0.99 * radius, **arguments) == 1.0
        assert accuracy(1.01 * radius, **arguments) == 0.0


@pytest.mark.parametrize(("epsilon", "share"), [(0.0, 3 / 4), (0.2, 2 / 4), (0.5, 1 / 4)])
def test_binary_accuracy_counts_radii_above_epsilon(epsilon, share):
    for y_true in (SIGNS, SIGNS[:, None], (SIGNS + 1) // 2):
        metric = metrics.BinaryProvableRobustAccuracy(epsilon=epsilon)
        assert float(metric(y_true, SCORES)) == pytest.approx(share)
        doubled = metrics.BinaryProvableRobustAccuracy(epsilon=epsilon, lip_const=2.0)
        assert float(doubled(y_true, 2.0 * SCORES)) == pytest.approx(share)


def test_binary_radius():
    mean = metrics.BinaryProvableAvgRobustness(lip_const=2.0)
    assert float(mean(SIGNS, SCORES)) == pytest.approx(1.2 / 4 / 2)
    signed = metrics.BinaryProvableAvgRobustness(negative_robustness=True)
    assert float(signed(SIGNS, SCORES[:, 0])) == pytest.approx(RADII.mean())


def test_no_perturbation_within_the_radius_changes_a_linear_prediction():
    kernel = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 3)))[0]  # 1-Lipschitz vector
    x = np.random.default_rng(1).normal(size=(200, 5))
    y = np.eye(3)[np.argmax(x @ kernel, axis=1)]
    top, others = kernel @ y.T, np.argsort(x @ kernel, axis=1)[:, -2]
    worst = kernel[:, others] - top
    worst /= np.linalg.norm(worst, axis=0)
    for epsilon in (0.1, 0.5):
        attacked = (x + epsilon * worst.T) @ kernel
        survive = np.mean(np.argmax(attacked, axis=1) == np.argmax(y, axis=1))
        vector = metrics.CategoricalProvableRobustAccuracy(epsilon, disjoint_neurons=False)
        single = metrics.CategoricalProvableRobustAccuracy(epsilon, disjoint_neurons=True)
        # The difference of two orthonormal columns is exactly sqrt(2)-Lipschitz: tight.
        assert float(vector(y, x @ kernel)) == pytest.approx(survive)
        assert float(single(y, x @ kernel)) < survive


CASES = [
    (metrics.CategoricalProvableRobustAccuracy(0.2, lip_const=1.5), ONE_HOT, LOGITS),
    (metrics.CategoricalProvableAvgRobustness(2.0, False, True), ONE_HOT, LOGITS),
    (metrics.BinaryProvableRobustAccuracy(0.2, lip_const=1.5, name="proven"), SIGNS, SCORES),
    (metrics.BinaryProvableAvgRobustness(2.0, negative_robustness=True), SIGNS, SCORES),
]
every_metric = pytest.mark.parametrize(
    ("metric", "y_true", "y_pred"), CASES, ids=[case[0].name for case in CASES]
)


@every_metric
def test_state_accumulates_and_resets(metric, y_true, y_pred):
    metric.reset_state()
    whole = float(metric(y_true, y_pred))
    metric.reset_state()
    assert float(metric.result()) == 0.0
    metric.update_state(y_true[:1], y_pred[:1])
    metric.update_state(y_true[1:], y_pred[1:])
    assert float(metric.result()) == pytest.approx(whole)
    assert len(metric.variables) == 2


@every_metric
def test_weights_are_repeated_samples(metric, y_true, y_pred):
    repeats = np.array([1, 0, 4, 2])
    metric.reset_state()
    repeated = float(metric(np.repeat(y_true, repeats, 0), np.repeat(y_pred, repeats, 0)))
    metric.reset_state()
    unweighted = float(metric(y_true, y_pred))
    for weights in (repeats, repeats[:, None]):
        metric.reset_state()
        assert float(metric(y_true, y_pred, sample_weight=weights)) == pytest.approx(repeated)
    assert unweighted != pytest.approx(repeated)


@every_metric
def test_compiled_saved_and_loaded(metric, y_true, y_pred, tmp_path):
    check_serializable(metric)
    outputs = y_pred.shape[1]
    model = keras.Sequential([keras.Input((outputs,)), keras.layers.Identity()])
    fresh = type(metric).from_config(metric.get_config())
    model.compile(loss="mse", metrics=[fresh], weighted_metrics=[])
    y = y_true.reshape(y_pred.shape).astype("float32")
    metric.reset_state()
    expected = float(metric(y_true, y_pred))
    logs = model.evaluate(y_pred, y, batch_size=3, verbose=0, return_dict=True)
    assert logs[metric.name] == pytest.approx(expected)

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    logs = loaded.evaluate(y_pred, y, verbose=0, return_dict=True)
    assert logs[metric.name] == pytest.approx(expected)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), "one"])
def test_lip_const_must_be_positive(value):
    for kind in (type(case[0]) for case in CASES):
        with pytest.raises(ValueError, match="argument `lip_const`"):
            kind(lip_const=value)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), None])
def test_epsilon_must_be_non_negative(value):
    for kind in (metrics.CategoricalProvableRobustAccuracy, metrics.BinaryProvableRobustAccuracy):
        with pytest.raises(ValueError, match="argument `epsilon`. Expected a non-negative"):
            kind(epsilon=value)


@pytest.mark.parametrize("argument", ["disjoint_neurons", "negative_robustness"])
def test_switches_must_be_boolean(argument):
    with pytest.raises(ValueError, match=f"argument `{argument}`. Expected a boolean"):
        metrics.CategoricalProvableAvgRobustness(**{argument: "yes"})


def test_wrong_batches_are_named():
    categorical, binary = CASES[0][0], CASES[2][0]
    for y_true, y_pred, name in [
        (CLASSES, LOGITS, "y_true"),
        (np.ones_like(ONE_HOT), LOGITS, "y_true"),
        (ONE_HOT, np.where(LOGITS > 2, np.nan, LOGITS), "y_pred"),
        (ONE_HOT, np.where(LOGITS > 2, np.inf, LOGITS), "y_pred"),
    ]:
        with pytest.raises(ValueError, match=f"argument `{name}`"):
            categorical.update_state(y_true, y_pred)
    with pytest.raises(ValueError, match="argument `y_true`"):
        binary.update_state(np.array([0, 1, 2, 3]), SCORES)
    with pytest.raises(ValueError, match="argument `sample_weight`"):
        binary.update_state(SIGNS, SCORES, sample_weight=-np.ones(4))


def test_compiled_predictions_that_are_not_finite_certify_nothing():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Identity()])
    model.compile(loss="mse", metrics=[metrics.CategoricalProvableRobustAccuracy()])
    try:
        logs = model.evaluate(
            np.where(LOGITS > 2, np.inf, LOGITS), ONE_HOT, verbose=0, return_dict=True
        )
    except ValueError as error:  # backends that run eagerly can raise
        assert "`y_pred`" in str(error)
    else:
        assert np.isnan(logs["CategoricalProvableRobustAccuracy"])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_loses_no_lead(dtype):
    metric = metrics.CategoricalProvableRobustAccuracy(0.2, dtype=dtype)
    metric.update_state(np.eye(2)[:1], np.array([[1000.3, 1000.0]]))
    assert float(metric.result()) == 0.0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", public_classes("metrics", keras.metrics.Metric))
def test_half_precision_counts_as_many_samples_as_float32(name, dtype):
    half, single = (make_with("metrics", name, dtype=kind) for kind in (dtype, "float32"))
    y_true, y_pred = (SIGNS, SCORES) if name.startswith("Binary") else (ONE_HOT, LOGITS)
    # Counts of float16 stop at 2048, those of bfloat16 at 256.
    for metric in (half, single):
        metric.update_state(np.concatenate(600 * [y_true]), np.concatenate(600 * [y_pred]))
        for _ in range(50):
            metric.update_state(y_true[:1], y_pred[:1])
    assert keras.backend.standardize_dtype(half.result().dtype) == dtype
    assert half.get_config()["dtype"] == dtype
    rounded = keras.ops.cast(keras.ops.cast(single.result(), dtype), "float32")
    assert float(half.result()) == float(rounded) > 0.0
