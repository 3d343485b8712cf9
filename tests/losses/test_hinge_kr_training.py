"""The hinge-KR losses inside compiled training: adjusted on the way, saved and loaded."""

import keras
import numpy as np
import pytest

from lipot import losses
from tests.helpers import check_serializable

X = np.random.default_rng(0).normal(size=(24, 2)).astype("float32")
CLASSES = np.arange(24) % 3

CASES = [
    losses.KR(multi_gpu=True),
    losses.HKR(alpha=0.1, min_margin=0.3),
    losses.HKR(alpha=float("inf")),
    losses.HingeMargin(min_margin=0.7, reduction="sum"),
    losses.MulticlassKR(name="spread"),
    losses.MulticlassHKR(alpha=50, min_margin=2),
    losses.MulticlassHinge(min_margin=0.7),
    losses.MultiMargin(min_margin=0.7),
    losses.CategoricalHinge(min_margin=0.7),
    losses.TauCategoricalCrossentropy(tau=0.1),
    losses.TauSparseCategoricalCrossentropy(tau=0.1),
    losses.TauBinaryCrossentropy(tau=0.1),
    losses.SoftHKR(alpha=3.0, min_margin=0.7, temperature=2.0),
    losses.LogSumExpHKR(alpha=3.0, min_margin=0.7, penalty=0.5),
    losses.MarginCategoricalCrossentropy(tau=2.0, min_margin=0.7),
    losses.EMMA(eps=0.3, lipschitz=0.5, tau=2.0),
    losses.GloRo(eps=0.3, lipschitz=0.5, tau=2.0),
    losses.GloRoTRADES(eps=0.3, weight=0.5, tau=2.0),
]


def _labels(loss):
    if isinstance(loss, (losses.KR, losses.HKR, losses.HingeMargin, losses.TauBinaryCrossentropy)):
        return np.where(CLASSES == 0, 1.0, -1.0)
    if isinstance(loss, losses.TauSparseCategoricalCrossentropy):
        return CLASSES
    return np.eye(3)[CLASSES]


def _model(loss, y, **compile_arguments):
    outputs = 3 if y.ndim == 2 or y.max() == 2 else 1
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(outputs)])
    model.compile(keras.optimizers.SGD(0.01), loss, **compile_arguments)
    return model


@pytest.mark.parametrize("loss", CASES, ids=lambda loss: loss.name)
def test_round_trips(loss, tmp_path):
    restored = check_serializable(loss)
    y = _labels(loss)
    model = _model(loss, y)
    value = float(loss(y, model.predict_on_batch(X)))
    assert float(restored(y, model.predict_on_batch(X))) == pytest.approx(value, rel=1e-6)

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded.loss.get_config() == loss.get_config()
    assert loaded.evaluate(X, y, verbose=0) == pytest.approx(value, rel=1e-4)


def test_configurations_hold_plain_numbers():
    config = losses.HKR(alpha=np.float32(50.0), min_margin=0.1).get_config()
    assert config["alpha"] == 50.0
    assert config["min_margin"] == 0.1
    assert {type(config["alpha"]), type(config["min_margin"])} == {float}
    assert losses.HKR.from_config({"alpha": 3, "multi_gpu": False, "name": "HKR"}).name == "HKR"


class Schedule(keras.callbacks.Callback):
    """Sets a new `alpha` before each step."""

    def __init__(self, values):
        super().__init__()
        self.values = iter(values)

    def on_train_batch_begin(self, batch, logs=None):
        self.model.loss.alpha.assign(next(self.values))


def test_alpha_changes_at_each_step_of_a_compiled_fit():
    y = _labels(losses.HKR(1.0))
    alphas = [0.0, 30.0, 2.0, 700.0, float("inf"), 5.0]
    scheduled = _model(losses.HKR(alpha=1.0), y)
    start = scheduled.get_weights()
    scheduled.fit(X, y, batch_size=8, epochs=2, shuffle=False, verbose=0,
                  callbacks=[Schedule(alphas)])  # fmt: skip

    stepwise = _model(losses.HKR(alpha=1.0), y)
    stepwise.set_weights(start)
    for step, alpha in enumerate(alphas):
        batch = slice(8 * (step % 3), 8 * (step % 3) + 8)
        stepwise.compile(keras.optimizers.SGD(0.01), losses.HKR(alpha=alpha))
        stepwise.train_on_batch(X[batch], y[batch])
    for ours, theirs in zip(scheduled.get_weights(), stepwise.get_weights()):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    assert scheduled.loss.get_config()["alpha"] == 5.0


@pytest.mark.smoke
def test_a_step_compiled_before_sees_the_new_value():
    loss = losses.HKR(alpha=0.0, min_margin=0.0)
    y = _labels(loss)
    model = _model(loss, y)
    kr = -model.evaluate(X, y, verbose=0)
    loss.alpha = float("inf")
    hinge = model.evaluate(X, y, verbose=0)
    loss.alpha.assign(10.0)
    assert model.evaluate(X, y, verbose=0) == pytest.approx(10.0 * hinge - kr, rel=1e-4)
    loss.min_margin = 2.0
    assert model.evaluate(X, y, verbose=0) > 10.0 * hinge - kr + 1.0
    assert (loss.alpha.numpy(), float(loss.min_margin)) == (10.0, 2.0)


def test_a_linear_critic_learns_the_distance_of_shifted_clouds():
    shift = np.array([3.0, 4.0], "float32")
    x = np.concatenate([X, X + shift])
    y = np.repeat([0, 1], len(X))
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(1, kernel_constraint="unit_norm")]
    )
    model.compile(keras.optimizers.SGD(0.5), losses.HKR(alpha=0.0), metrics=[losses.KR()])
    model.fit(x, y, batch_size=48, epochs=20, verbose=0)
    # Shifted copies are at the distance of the shift, and a linear critic attains it.
    distance = model.evaluate(x, y, batch_size=48, verbose=0, return_dict=True)
    assert distance["loss"] == pytest.approx(-5.0, rel=1e-3)
    assert distance["KR"] == pytest.approx(5.0, rel=1e-3)


def test_class_weights_reach_the_expectations():
    y = np.eye(3)[CLASSES]
    repeats = np.array([1, 2, 3])[CLASSES]
    weighted = _model(losses.MulticlassHKR(alpha=3.0), y)
    repeated = _model(losses.MulticlassHKR(alpha=3.0), y)
    repeated.set_weights(weighted.get_weights())
    weighted.fit(X, y, batch_size=24, class_weight={0: 1.0, 1: 2.0, 2: 3.0}, verbose=0)
    repeated.fit(np.repeat(X, repeats, 0), np.repeat(y, repeats, 0), batch_size=48, verbose=0)
    for ours, theirs in zip(weighted.get_weights(), repeated.get_weights()):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
