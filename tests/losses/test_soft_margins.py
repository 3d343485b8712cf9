"""The losses of certified training against hand-computed numbers and NumPy."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import log_softmax, logsumexp, softmax

import lipot
from lipot import layers, losses
from lipot.backend import value_and_input_gradient
from lipot.layers import FrobeniusDense
from lipot.math import soft_margins
from tests.helpers import check_serializable, to_numpy

LOGITS = np.random.default_rng(0).normal(size=(12, 4)) * 2.0
CLASSES = np.arange(12) % 4
ONE_HOT = np.eye(4)[CLASSES]
ROWS = np.arange(12)
OTHERS = np.array([[k for k in range(4) if k != y] for y in CLASSES])


def true_and_others():
    return LOGITS[ROWS, CLASSES], np.take_along_axis(LOGITS, OTHERS, axis=1)


def test_soft_hkr_by_hand():
    y_true, y_pred = np.array([[0, 1, 0]]), np.array([[np.log(3.0), 0.25, 0.0]])
    # Weights 3/4 and 1/4: margin 0.25 - 0.75 log 3; hinges 0.25 and 0.75 (0.5 + log 3) + 0.25 / 2.
    margin = 0.25 - 0.75 * np.log(3.0)
    hinge = 0.25 + 0.75 * (0.5 + np.log(3.0)) + 0.25 * 0.5
    value = losses.SoftHKR(alpha=4.0, min_margin=1.0, temperature=1.0)(y_true, y_pred)
    assert float(value) == pytest.approx(-margin + 4.0 * hinge, rel=1e-6)


@pytest.mark.parametrize("temperature", [0.0, 0.7, 3.0])
def test_soft_hkr_is_numpy(temperature):
    true, others = true_and_others()
    w = softmax(temperature * others, axis=1)
    kr = true - (w * others).sum(axis=1)
    hinge = np.maximum(0.4 - true, 0) + (w * np.maximum(0.4 + others, 0)).sum(axis=1)
    loss = losses.SoftHKR(alpha=5.0, min_margin=0.8, temperature=temperature)
    assert float(loss(ONE_HOT, LOGITS)) == pytest.approx((5.0 * hinge - kr).mean(), rel=1e-5)


def test_soft_hkr_of_a_high_temperature_faces_the_best_other():
    loss = losses.SoftHKR(alpha=0.0, temperature=1e4)
    true, others = true_and_others()
    expected = (others.max(axis=1) - true).mean()
    assert float(loss(ONE_HOT, LOGITS)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("penalty", [0.1, 1.0, 4.0])
def test_log_sum_exp_hkr_is_numpy_and_bounds_the_margin(penalty):
    true, others = true_and_others()
    sharpness = np.log(3) / (penalty * 0.4)
    smooth = logsumexp(sharpness * others, axis=1) / sharpness
    best = others.max(axis=1)
    assert np.all(best <= smooth) and np.all(smooth <= best + penalty * 0.4 + 1e-12)
    hinge = np.maximum(0.4 - true, 0) + np.maximum(0.4 + smooth, 0)
    loss = losses.LogSumExpHKR(alpha=5.0, min_margin=0.8, penalty=penalty)
    expected = (5.0 * hinge - true + smooth).mean()
    assert float(loss(ONE_HOT, LOGITS)) == pytest.approx(expected, rel=1e-5)


def test_log_sum_exp_hkr_of_two_classes_has_one_other():
    value = losses.LogSumExpHKR(alpha=2.0, min_margin=1.0)([[1, 0]], [[0.25, -3.0]])
    assert float(value) == pytest.approx(-3.25 + 2.0 * 0.25)


def test_an_infinite_alpha_leaves_the_hinge():
    for make in (losses.SoftHKR, losses.LogSumExpHKR):
        hinge = float(make(alpha=float("inf"))(ONE_HOT, LOGITS))
        kr = float(make(alpha=0.0)(ONE_HOT, LOGITS))
        assert float(make(alpha=3.0)(ONE_HOT, LOGITS)) == pytest.approx(kr + 3.0 * hinge, rel=1e-5)


def test_margin_crossentropy_is_a_log_loss_of_lowered_logits():
    lowered = LOGITS - 0.7 * ONE_HOT
    expected = -log_softmax(3.0 * lowered, axis=1)[ROWS, CLASSES].mean() / 3.0
    loss = losses.MarginCategoricalCrossentropy(tau=3.0, min_margin=0.7)
    assert float(loss(ONE_HOT, LOGITS)) == pytest.approx(expected, rel=1e-5)
    plain = losses.TauCategoricalCrossentropy(tau=3.0)(ONE_HOT, LOGITS)
    loss.min_margin.assign(0.0)
    assert float(loss(ONE_HOT, LOGITS)) == pytest.approx(float(plain), rel=1e-6)


def emma_in_numpy(constants, eps, tau):
    attacked = LOGITS.copy()
    for row, y in enumerate(CLASSES):
        for k in range(4):
            if k != y:
                radius = (LOGITS[row, y] - LOGITS[row, k]) / constants[y, k]
                attacked[row, k] += np.clip(radius, 0.0, eps) * constants[y, k]
    return -log_softmax(tau * attacked, axis=1)[ROWS, CLASSES].mean() / tau


@pytest.mark.parametrize("eps", [0.0, 0.4, 10.0])
def test_emma_is_numpy(eps):
    constants = np.full((4, 4), 2.0 * 0.75)
    value = losses.EMMA(eps=eps, lipschitz=0.75, tau=2.0)(ONE_HOT, LOGITS)
    assert float(value) == pytest.approx(emma_in_numpy(constants, eps, 2.0), rel=1e-5)


@pytest.mark.parametrize("make", [keras.layers.Dense, FrobeniusDense])
def test_emma_reads_the_constants_of_the_head(make):
    head = make(4)
    head.build((None, 6))
    kernel = to_numpy(getattr(head, "inference_kernel", head.kernel))
    constants = np.linalg.norm(kernel[:, :, None] - kernel[:, None, :], axis=0)
    value = losses.EMMA(eps=0.4, head=head, lipschitz=0.5)(ONE_HOT, LOGITS)
    assert float(value) == pytest.approx(emma_in_numpy(0.5 * constants, 0.4, 1.0), rel=1e-4)


def test_emma_with_a_small_eps_is_the_margin_crossentropy_of_far_logits():
    # Where every lead exceeds eps, all others rise by eps K: the true one is lowered by as much.
    far = 10.0 * ONE_HOT + 0.1 * LOGITS
    emma = losses.EMMA(eps=0.5, tau=2.0)(ONE_HOT, far)
    offset = losses.MarginCategoricalCrossentropy(tau=2.0, min_margin=1.0)(ONE_HOT, far)
    assert float(emma) == pytest.approx(float(offset), rel=1e-4)


def test_no_gradient_goes_through_weights_and_radii():
    logits = keras.ops.convert_to_tensor([[1.0, 0.9, -1.0]], "float32")
    labels = keras.ops.convert_to_tensor([[1.0, 0.0, 0.0]], "float32")
    w = softmax([0.9, -1.0])
    soft = losses.SoftHKR(alpha=0.0)
    _, gradient = value_and_input_gradient(lambda x: soft(labels, x), logits)
    np.testing.assert_allclose(to_numpy(gradient), [[-1.0, *w]], atol=1e-6)
    # Within reach of the attack the logits tie, and still the others are pushed down.
    _, gradient = value_and_input_gradient(lambda x: losses.EMMA(eps=5.0)(labels, x), logits)
    np.testing.assert_allclose(to_numpy(gradient), [[-2 / 3, 1 / 3, 1 / 3]], atol=1e-6)


def blobs(seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(150) % 3
    angle = 2.0 * np.pi * y / 3
    centers = 1.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return (centers + 0.4 * rng.normal(size=(150, 2))).astype("float32"), y


@pytest.mark.parametrize(
    "make",
    [
        lambda head: losses.EMMA(eps=0.5, head=head, tau=4.0),
        lambda head: losses.MarginCategoricalCrossentropy(tau=4.0, min_margin=1.0),
        lambda head: losses.SoftHKR(alpha=10.0),
        lambda head: losses.LogSumExpHKR(alpha=10.0),
    ],
)
def test_networks_train_to_certified_accuracy(make):
    keras.utils.set_random_seed(0)
    x, y = blobs()
    head = FrobeniusDense(3)
    model = keras.Sequential(
        [
            keras.Input((2,)),
            lipot.layers.SpectralDense(16),
            lipot.layers.GroupSort2(),
            head,
        ]
    )
    model.compile(keras.optimizers.Adam(0.02), make(head))
    model.fit(x, np.eye(3)[y], epochs=20, batch_size=50, verbose=0)
    assert lipot.certify(model, x, y).accuracy(0.3) > 0.85


def test_emma_after_loading_asks_for_its_head(tmp_path):
    x, y = blobs()
    head = FrobeniusDense(3, name="logits")
    model = keras.Sequential([keras.Input((2,)), head])
    model.compile("sgd", losses.EMMA(eps=0.5, head=head))
    value = model.evaluate(x, np.eye(3)[y], verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded.loss.head == "logits"
    with pytest.raises(ValueError, match=r"loss.head = model.get_layer\('logits'\)"):
        loaded.loss(np.eye(3), np.eye(3))
    loaded.loss.head = loaded.get_layer("logits")
    assert loaded.evaluate(x, np.eye(3)[y], verbose=0) == pytest.approx(value, rel=1e-5)
    check_serializable(losses.EMMA(eps=0.5, head=head))


@pytest.mark.parametrize(
    "make, word",
    [
        (lambda: losses.SoftHKR(alpha=-1.0), "`alpha`"),
        (lambda: losses.SoftHKR(temperature=-1.0), "`temperature`"),
        (lambda: losses.SoftHKR(min_margin=float("nan")), "`min_margin`"),
        (lambda: losses.LogSumExpHKR(min_margin=0.0), "`min_margin`.*positive"),
        (lambda: losses.LogSumExpHKR(penalty=0.0), "`penalty`"),
        (lambda: losses.MarginCategoricalCrossentropy(tau=0.0), "`tau`"),
        (lambda: losses.MarginCategoricalCrossentropy(tau=1.0, min_margin=-1), "`min_margin`"),
        (lambda: losses.EMMA(eps=-0.1), "`eps`"),
        (lambda: losses.EMMA(eps=0.1, lipschitz=0.0), "`lipschitz`"),
        (lambda: losses.EMMA(eps=0.1, head=3.0), "`head`"),
        (lambda: losses.EMMA(eps=0.1, head=keras.layers.Dense(3, "relu")), "`head`"),
        (lambda: losses.EMMA(0.1, head=keras.layers.Dense(3))(np.eye(3), np.eye(3)), "built layer"),
        (lambda: losses.SoftHKR()(np.arange(3), np.eye(3)), "to_categorical"),
        (lambda: losses.EMMA(0.1)(np.ones((3, 3)), np.eye(3)), "exactly one positive"),
    ],
)
def test_bad_arguments_are_named(make, word):
    with pytest.raises(ValueError, match=word):
        make()


def test_what_all_columns_share_does_not_hide_their_differences():
    kernel = np.array([[1000.0, 1000.0, 1000.0], [0.0, 0.1, -0.2]], "float32")
    constants = to_numpy(soft_margins.pair_constants(ops.convert_to_tensor(kernel)))
    expected = np.linalg.norm(kernel[:, :, None] - kernel[:, None], axis=0)
    np.testing.assert_allclose(constants, expected, rtol=1e-4)


def test_a_head_is_a_linear_map_and_not_what_has_units():
    class Steeper(keras.layers.Dense):
        def call(self, inputs):
            return 100.0 * super().call(inputs)

    heads = layers.LInfDistanceDense(2), layers.SDPResidualDense(2), Steeper(2)
    for head in (*heads, keras.layers.Dense(2, activation="relu")):
        with pytest.raises(ValueError, match="`head`.*dense layer without activation"):
            losses.EMMA(0.3, head=head)
    assert losses.EMMA(0.3, head=layers.SpectralDense(2)).head.units == 2
