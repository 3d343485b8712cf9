"""Masks that layers leave on predictions: losses and metrics count them as Keras's own do."""

import keras
import numpy as np
import pytest

from lipot import losses, metrics
from lipot.attacks import FGSM
from lipot.models import AdversarialModel, OTClassifier
from tests.helpers import to_numpy
from tests.losses.test_half_precision import EVERY_LOSS, labels_for
from tests.models.linear_ot_classifier import OnesPrior
from tests.public_classes import make, make_with, public_classes

EVERY_METRIC = public_classes("metrics", keras.metrics.Metric)
# XLA takes longer to compile these models than they take to run.
JIT = "auto" if keras.backend.backend() == "jax" else False
REDUCTIONS = ["mean_with_sample_weight", "sum_over_batch_size", "sum", "none"]
KEPT = np.array([1, 1, 0, 1, 0, 1, 1], bool)
WEIGHTS = np.array([1.0, 0.5, 3.0, 2.0, 1.0, 0.25, 1.5])
SCORES = np.random.default_rng(0).normal(size=(7, 3)).astype("float32")
CLASSES = np.array([0, 1, 2, 0, 1, 0, 2])


def masked(scores, kept=KEPT):
    """Scores with the mask of a layer, which are zero where it masks."""
    return keras.layers.Masking(9.0)(np.where(kept[:, None], scores, 9.0).astype("float32"))


@pytest.mark.parametrize("weights", [None, WEIGHTS, WEIGHTS[:, None], 2.0])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", EVERY_LOSS)
def test_a_mask_is_a_factor_of_the_sample_weights(name, reduction, weights):
    loss = make_with("losses", name, reduction=reduction)
    y_true, outputs = labels_for(loss)
    scores = masked(SCORES[:, :outputs])
    found = loss(y_true, scores, sample_weight=weights)
    both = KEPT * (1.0 if weights is None else np.ravel(weights))
    expected = to_numpy(loss(y_true, to_numpy(scores), sample_weight=both))
    if reduction == "sum_over_batch_size":
        expected = expected * len(KEPT) / KEPT.sum()
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("own", "stock", "labels"),
    [
        (losses.TauCategoricalCrossentropy, "CategoricalCrossentropy", np.eye(3)[CLASSES]),
        (losses.TauSparseCategoricalCrossentropy, "SparseCategoricalCrossentropy", CLASSES),
        (losses.TauBinaryCrossentropy, "BinaryCrossentropy", np.eye(3)[CLASSES]),
    ],
)
def test_a_loss_is_its_stock_twin(own, stock, labels, reduction, weights):
    twin = getattr(keras.losses, stock)(from_logits=True, reduction=reduction)
    for kept in (KEPT, np.zeros(7, bool), np.ones(7, bool)):
        arguments = labels, masked(SCORES, kept)
        found = own(tau=1.0, reduction=reduction)(*arguments, sample_weight=weights)
        expected = twin(*arguments, sample_weight=weights)
        np.testing.assert_allclose(to_numpy(found), to_numpy(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("name", EVERY_METRIC)
def test_a_metric_is_its_stock_twin(name, weights):
    metric = make("metrics", name)
    binary = name.startswith("Binary")
    labels = np.where(CLASSES == 0, 1.0, -1.0)[:, None] if binary else np.eye(3)[CLASSES]
    scores = masked(9.0 * SCORES[::-1, : labels.shape[1]])

    def values(y_true, y_pred):
        single = [type(metric).from_config(metric.get_config()) for _ in KEPT]
        rows = zip(single, y_true, to_numpy(y_pred))
        return np.array([float(one(row[None], score[None])) for one, row, score in rows])

    twin = keras.metrics.MeanMetricWrapper(values)
    for each in (metric, twin):
        each.update_state(labels, scores, sample_weight=weights)
    assert float(metric.result()) == pytest.approx(float(twin.result()), rel=1e-5)
    assert float(metric.result()) > 0.0


def test_accuracy_at_radius_zero_is_that_of_keras():
    own, stock = metrics.CategoricalProvableRobustAccuracy(0.0), keras.metrics.CategoricalAccuracy()
    for metric in (own, stock):
        metric.update_state(np.eye(3)[CLASSES], masked(SCORES))
    assert float(own.result()) == pytest.approx(float(stock.result()))


def test_evaluate_and_fit_leave_masked_samples_out():
    kernel = np.random.default_rng(1).normal(size=(4, 3)).astype("float32")
    x = np.random.default_rng(2).normal(size=(7, 4)).astype("float32")
    labels = np.eye(3)[CLASSES]

    def logs(x, labels):
        head = keras.layers.Dense(3, use_bias=False)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Masking(), head])
        head.set_weights([kernel])
        metric = metrics.CategoricalProvableAvgRobustness(negative_robustness=True)
        model.compile(keras.optimizers.SGD(0.1), losses.MulticlassHKR(), metrics=[metric])
        values = model.evaluate(x, labels, batch_size=7, verbose=0)
        model.fit(x, labels, batch_size=7, verbose=0)
        return values, head.get_weights()[0]

    found, expected = logs(x * KEPT[:, None], labels), logs(x[KEPT], labels[KEPT])
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_adversarial_training_leaves_masked_samples_out(weights):
    kernel = np.random.default_rng(1).normal(size=(4, 3)).astype("float32")
    x = np.random.default_rng(2).uniform(0.3, 0.7, size=(7, 4)).astype("float32")

    def logs(x, labels, weights):
        head = keras.layers.Dense(3, use_bias=False)
        network = keras.Sequential([keras.Input((4,)), keras.layers.Masking(), head])
        head.set_weights([kernel])
        robust = AdversarialModel(network, FGSM(0.1), [losses.TRADES()])
        stock = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        robust.compile(keras.optimizers.SGD(0.1), stock, jit_compile=JIT)
        arguments = {"sample_weight": weights, "batch_size": 7, "verbose": 0}
        values = robust.evaluate(x, labels, return_dict=True, **arguments)
        robust.fit(x, labels, **arguments)
        return np.array([values[key] for key in sorted(values)]), head.get_weights()[0]

    rows = None if weights is None else weights[KEPT]
    found, expected = logs(x * KEPT[:, None], CLASSES, weights), logs(x[KEPT], CLASSES[KEPT], rows)
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("alternating", [False, True])
def test_codes_of_masked_samples_count_nowhere(alternating):
    if alternating and keras.backend.backend() == "jax":
        pytest.skip("Keras carries one optimizer on JAX.")
    rng = np.random.default_rng(2)
    x = rng.uniform(0.3, 0.7, size=(7, 4)).astype("float32")
    kernels = [rng.normal(size=shape).astype("float32") for shape in ((4, 2), (2, 3), (2, 1))]

    def network(kernel, *before):
        last = keras.layers.Dense(kernel.shape[1], use_bias=False)
        made = keras.Sequential([keras.Input(kernel.shape[:1]), *before, last])
        last.set_weights([kernel])
        return made

    def logs(x, labels, weights):
        parts = [network(kernels[0], keras.layers.Masking()), *map(network, kernels[1:])]
        model = OTClassifier(*parts, OnesPrior(2), weight=0.3, attack=FGSM(0.1))
        second = {"discriminator_optimizer": keras.optimizers.SGD(0.1)} if alternating else {}
        accuracy = keras.metrics.SparseCategoricalAccuracy("hits")
        settings = {"weighted_metrics": [accuracy], "jit_compile": JIT}
        model.compile(keras.optimizers.SGD(0.1), **second, **settings)
        arguments = {"sample_weight": weights, "batch_size": 7, "verbose": 0}
        history = model.fit(x, labels, **arguments).history
        values = model.evaluate(x, labels, return_dict=True, **arguments)
        found = [*history.values(), *([value] for value in values.values())]
        return np.concatenate([np.ravel(v) for v in (*found, *model.get_weights())])

    found = logs(x * KEPT[:, None], CLASSES, WEIGHTS)
    np.testing.assert_allclose(found, logs(x[KEPT], CLASSES[KEPT], WEIGHTS[KEPT]), rtol=1e-5)


def test_a_mask_of_another_shape_is_named():
    scores = keras.ops.convert_to_tensor(SCORES)
    scores = _WithMask(np.ones((7, 3), bool))(scores)
    for judge in (losses.MulticlassHKR(), metrics.CategoricalProvableAvgRobustness()):
        with pytest.raises(ValueError, match=r"a mask of shape \(7, 3\)"):
            judge(np.eye(3)[CLASSES], scores)


class _WithMask(keras.layers.Layer):
    def __init__(self, mask):
        super().__init__()
        self.supports_masking = True
        self.mask = mask

    def call(self, inputs):
        return inputs + 0.0

    def compute_mask(self, inputs, previous_mask=None):
        return self.mask
