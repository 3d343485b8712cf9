"""The losses with a bottom class: numbers by hand, NumPy, the certificate."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import log_softmax, softmax

import lipot
from lipot import losses
from lipot.layers import FrobeniusDense, GroupSort2, SpectralDense
from lipot.math.soft_margins import bottom_logit
from tests.helpers import check_serializable, numeric_gradient, to_numpy

LOGITS = np.random.default_rng(0).normal(size=(12, 4)) * 2.0
CLASSES = np.arange(12) % 4
ONE_HOT = np.eye(4)[CLASSES]
ROWS = np.arange(12)


def constants_of(kernel):
    return np.linalg.norm(kernel[:, :, None] - kernel[:, None, :], axis=0)


def with_bottom(logits, constants, eps):
    top = logits.argmax(axis=1)
    raised = logits + eps * constants[top]
    raised[np.arange(len(logits)), top] = -np.inf
    return np.concatenate([logits, raised.max(axis=1, keepdims=True)], axis=1)


def gloro_in_numpy(logits, constants, eps, tau):
    padded = with_bottom(logits, constants, eps)
    return -log_softmax(tau * padded, axis=1)[ROWS, CLASSES].mean() / tau


def trades_in_numpy(logits, constants, eps, weight, tau):
    log_p = log_softmax(tau * logits, axis=1)
    log_p_bar = log_softmax(tau * with_bottom(logits, constants, eps), axis=1)[:, :-1]
    divergence = (np.exp(log_p) * (log_p - log_p_bar)).sum(axis=1)
    return (-log_p[ROWS, CLASSES] + weight * divergence).mean() / tau


def test_gloro_by_hand():
    # Class 1 is predicted: the best of the others, attacked, is 0.5 + 0.25 * 2 = 1.
    value = losses.GloRo(eps=0.25)([[1, 0, 0]], [[0.5, 2.0, 0.0]])
    assert float(value) == pytest.approx(
        np.log(np.exp(0.5) + np.exp(2.0) + 1.0 + np.exp(1.0)) - 0.5, rel=1e-6
    )


def test_gloro_trades_by_hand():
    # p = (3/4, 1/4), bottom as large as the smaller one: p_bar = (3/5, 1/5, 1/5), KL = log(5/4).
    value = losses.GloRoTRADES(eps=0.0, weight=3.0)([[1, 0]], [[np.log(3.0), 0.0]])
    assert float(value) == pytest.approx(np.log(4 / 3) + 3.0 * np.log(5 / 4), rel=1e-6)


@pytest.mark.parametrize("eps", [0.0, 0.4, 10.0])
def test_both_are_numpy(eps):
    constants = np.full((4, 4), 2.0 * 0.75)
    value = losses.GloRo(eps=eps, lipschitz=0.75, tau=2.0)(ONE_HOT, LOGITS)
    assert float(value) == pytest.approx(gloro_in_numpy(LOGITS, constants, eps, 2.0), rel=1e-5)
    value = losses.GloRoTRADES(eps=eps, weight=1.5, lipschitz=0.75, tau=2.0)(ONE_HOT, LOGITS)
    expected = trades_in_numpy(LOGITS, constants, eps, 1.5, 2.0)
    assert float(value) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("make", [keras.layers.Dense, FrobeniusDense, SpectralDense])
def test_the_constants_are_those_of_the_head(make):
    head = make(4)
    head.build((None, 6))
    constants = 0.5 * constants_of(to_numpy(getattr(head, "inference_kernel", head.kernel)))
    value = losses.GloRo(eps=0.4, head=head, lipschitz=0.5)(ONE_HOT, LOGITS)
    assert float(value) == pytest.approx(gloro_in_numpy(LOGITS, constants, 0.4, 1.0), rel=1e-4)
    value = losses.GloRoTRADES(eps=0.4, weight=2.0, head=head, lipschitz=0.5)(ONE_HOT, LOGITS)
    expected = trades_in_numpy(LOGITS, constants, 0.4, 2.0, 1.0)
    assert float(value) == pytest.approx(expected, rel=1e-4)


def test_a_large_lead_costs_nothing_and_overflows_nowhere():
    far = 1e4 * ONE_HOT
    for loss in (losses.GloRo(0.5), losses.GloRoTRADES(0.5, weight=2.0)):
        assert float(loss(ONE_HOT, far)) == pytest.approx(0.0, abs=1e-3)
        assert np.isfinite(float(loss(ONE_HOT, -far)))


@pytest.mark.smoke
@pytest.mark.parametrize("weight", [None, 1.5])
def test_a_training_step_follows_the_constants_of_the_head(weight):
    x = np.random.default_rng(1).normal(size=(12, 3))
    head = keras.layers.Dense(4, use_bias=False)
    model = keras.Sequential([keras.Input((3,)), head])
    before = to_numpy(head.kernel).astype("float64")
    if weight is None:
        loss = losses.GloRo(eps=0.4, head=head, tau=2.0)

        def value(kernel):
            return gloro_in_numpy(x @ kernel, constants_of(kernel), 0.4, 2.0)
    else:
        loss = losses.GloRoTRADES(eps=0.4, weight=weight, head=head, tau=2.0)

        def value(kernel):
            return trades_in_numpy(x @ kernel, constants_of(kernel), 0.4, weight, 2.0)

    model.compile(keras.optimizers.SGD(1.0), loss)
    model.fit(x, ONE_HOT, batch_size=12, verbose=0)
    step = to_numpy(head.kernel) - before
    np.testing.assert_allclose(-step, numeric_gradient(value, before, 1e-5), atol=2e-5)


def test_the_bottom_class_loses_exactly_where_a_radius_is_certified():
    keras.utils.set_random_seed(0)
    head = FrobeniusDense(3)
    model = keras.Sequential([keras.Input((2,)), SpectralDense(16), GroupSort2(), head])
    x = 2.0 * np.random.default_rng(0).normal(size=(200, 2)).astype("float32")
    logits = model.predict(x, verbose=0).astype("float64")
    constants = constants_of(to_numpy(head.inference_kernel))
    radius = lipot.certify(model, x).radius
    eps = float(np.median(radius))
    bottom = bottom_logit(*map(ops.convert_to_tensor, (logits, constants)), eps)
    bottom = to_numpy(bottom)
    clear = np.abs(radius - eps) > 1e-3
    assert 0 < np.sum(radius[clear] > eps) < np.sum(clear)
    np.testing.assert_array_equal((logits.max(axis=1) > bottom)[clear], (radius > eps)[clear])


@pytest.mark.parametrize(
    "make",
    [
        lambda head: losses.GloRo(eps=0.5, head=head, tau=4.0),
        lambda head: losses.GloRoTRADES(eps=0.5, weight=1.5, head=head, tau=4.0),
    ],
)
def test_training_on_digits_with_a_rising_eps(make):
    keras.utils.set_random_seed(0)
    data = lipot.datasets.load("digits")
    head = FrobeniusDense(10)
    hidden = [SpectralDense(64), GroupSort2(), SpectralDense(64), GroupSort2()]
    parts = [keras.Input((8, 8, 1)), keras.layers.Flatten(), *hidden, head]
    model = keras.Sequential(parts)
    model.compile(keras.optimizers.Adam(0.01), make(head))
    rising = lipot.callbacks.LossParamScheduler("eps", fp=[0.01, 0.5], xp=[0, 60])
    y = data.y_train_onehot
    model.fit(data.x_train, y, epochs=8, batch_size=64, verbose=0, callbacks=[rising])
    assert float(model.loss.eps) == 0.5
    certificate = lipot.certify(model, data.x_test, data.y_test)
    assert certificate.correct.mean() > 0.85
    assert certificate.accuracy(0.5) > 0.45


def test_a_saved_model_asks_for_its_head(tmp_path):
    head = keras.layers.Dense(4, name="logits")
    model = keras.Sequential([keras.Input((4,)), head])
    for loss in (losses.GloRo(0.5, head=head), losses.GloRoTRADES(0.5, weight=2.0, head=head)):
        model.compile("sgd", loss)
        value = model.evaluate(LOGITS, ONE_HOT, verbose=0)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
        assert loaded.loss.head == "logits"
        with pytest.raises(ValueError, match=r"loss.head = model.get_layer\('logits'\)"):
            loaded.loss(ONE_HOT, LOGITS)
        loaded.loss.head = loaded.get_layer("logits")
        assert loaded.evaluate(LOGITS, ONE_HOT, verbose=0) == pytest.approx(value, rel=1e-5)
        check_serializable(loss)


def test_the_divergence_is_what_the_bottom_class_took():
    padded = with_bottom(LOGITS, np.full((4, 4), 2.0), 1.0)
    taken = softmax(padded, axis=1)[:, -1]
    expected = -np.log1p(-taken)
    small = losses.GloRoTRADES(1.0, weight=1.0, reduction="none")(ONE_HOT, LOGITS)
    clean = losses.GloRoTRADES(1.0, weight=0.0, reduction="none")(ONE_HOT, LOGITS)
    np.testing.assert_allclose(to_numpy(small) - to_numpy(clean), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "make, word",
    [
        (lambda: losses.GloRo(eps=-0.1), "`eps`"),
        (lambda: losses.GloRo(eps=0.1, lipschitz=0.0), "`lipschitz`"),
        (lambda: losses.GloRo(eps=0.1, tau=0.0), "`tau`"),
        (lambda: losses.GloRo(eps=0.1, head=3.0), "`head`"),
        (lambda: losses.GloRoTRADES(eps=0.1, weight=-1.0), "`weight`"),
        (lambda: losses.GloRo(0.1)(np.arange(3), np.eye(3)), "to_categorical"),
    ],
)
def test_bad_arguments_are_named(make, word):
    with pytest.raises(ValueError, match=word):
        make()
