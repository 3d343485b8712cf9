"""Tests of the callbacks: through fit, on what they leave behind."""

import json

import keras
import numpy as np
import pytest

import lipot
from lipot.callbacks import (
    CondenseCallback,
    LossParamLog,
    LossParamScheduler,
    MonitorCallback,
    RadiusSchedule,
)
from lipot.layers import GroupSort2, SpectralConv2D, SpectralDense
from lipot.losses import HKR
from tests.helpers import check_serializable

X = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")
Y = np.tile([1.0, -1.0], 8).astype("float32")
ONE_BY_ONE = keras.backend.backend() == "torch"


def executions(steps):
    """So many steps at once, which Keras takes on all frameworks but PyTorch."""
    return pytest.param(steps, marks=pytest.mark.skipif(ONE_BY_ONE, reason="One by one there."))


def _model(**kwargs):
    model = keras.Sequential(
        [
            keras.Input((6,)),
            SpectralDense(4, orthogonalizer="bjorck", name="hidden"),
            GroupSort2(name="sort"),
            keras.layers.Dense(1, name="head"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), HKR(alpha=2.0), **kwargs)
    return model


def _fit(model, *callbacks, epochs=1, batch_size=4):
    return model.fit(
        X, Y, batch_size=batch_size, epochs=epochs, callbacks=list(callbacks), verbose=0
    )


def _singular_values(kernel):
    matrix = np.asarray(kernel, "float64")
    return np.linalg.svd(matrix.reshape(-1, matrix.shape[-1]), compute_uv=False)


class _Snapshots(keras.callbacks.Callback):
    """Keeps the kernel of one layer after each batch and epoch, after the callbacks before it."""

    def __init__(self, read):
        super().__init__()
        self.read, self.batches, self.epochs = read, [], []

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append(self.read(self.model))

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(self.read(self.model))


def _hidden_kernel(model):
    return np.array(model.get_layer("hidden").kernel)


def test_condense_after_each_epoch_keeps_the_outputs():
    model = _model()
    model.get_layer("hidden").kernel.assign(5.0 * _hidden_kernel(model))
    snapshots = _Snapshots(_hidden_kernel)
    _fit(model, CondenseCallback(), snapshots)
    assert _singular_values(snapshots.batches[-1]).max() > 2.0
    np.testing.assert_allclose(_singular_values(snapshots.epochs[-1]), 1.0, atol=1e-4)
    # A second pass, over kernels condensed already, changes no output.
    before = model.predict(X, verbose=0)
    again = CondenseCallback()
    again.set_model(model)
    again.on_epoch_end(1)
    np.testing.assert_allclose(model.predict(X, verbose=0), before, atol=1e-5)


def test_condense_after_each_batch_reaches_nested_models():
    inner = _model()
    inputs = keras.Input((6,))
    model = keras.Model(inputs, keras.layers.Activation("linear")(inner(inputs)))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    inner.get_layer("hidden").kernel.assign(5.0 * _hidden_kernel(inner))
    snapshots = _Snapshots(lambda model: _hidden_kernel(inner))
    _fit(model, CondenseCallback(on_epoch=False, on_batch=True), snapshots)
    for kernel in snapshots.batches:
        np.testing.assert_allclose(_singular_values(kernel), 1.0, atol=1e-4)


def test_condense_can_be_off():
    model = _model()
    model.get_layer("hidden").kernel.assign(5.0 * _hidden_kernel(model))
    _fit(model, CondenseCallback(on_epoch=False))
    assert _singular_values(_hidden_kernel(model)).max() > 2.0


@pytest.mark.parametrize("target", ["kernel", "wbar"])
def test_monitor_writes_the_singular_values_of_numpy(target, tmp_path):
    model = _model()
    model.get_layer("hidden").kernel.assign(5.0 * _hidden_kernel(model))
    monitor = MonitorCallback(["hidden"], tmp_path / "log", target, "all", on_batch=True)
    attribute = {"kernel": "kernel", "wbar": "inference_kernel"}[target]
    snapshots = _Snapshots(lambda m: np.array(getattr(m.get_layer("hidden"), attribute)))
    history = _fit(model, monitor, snapshots, epochs=2, batch_size=8).history

    lines = (tmp_path / "log" / "singular_values.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [(r["epoch"], r["step"]) for r in records] == [(0, 1), (0, 2), (1, 3), (1, 4)]
    for record, kernel in zip(records, snapshots.batches):
        assert record["layer"] == "hidden" and record["target"] == target
        np.testing.assert_allclose(record["singular_values"], _singular_values(kernel), rtol=1e-5)
    largest = [_singular_values(kernel)[0] for kernel in snapshots.epochs]
    np.testing.assert_allclose(history[f"hidden_{target}_sigma_max"], largest, rtol=1e-5)
    drifts = [np.abs(np.square(_singular_values(k)) - 1).max() for k in snapshots.epochs]
    np.testing.assert_allclose(history[f"hidden_{target}_drift"], drifts, rtol=1e-4, atol=1e-6)


def test_monitor_after_each_epoch_appends_and_feeds_other_loggers(tmp_path):
    model = keras.Sequential(
        [keras.Input((5, 5, 1)), SpectralConv2D(3, 3, name="conv"), keras.layers.Flatten()]
    )
    model.compile("sgd", "mse")
    monitor = MonitorCallback(["conv"], str(tmp_path))
    table = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    for _ in range(2):
        model.fit(np.ones((4, 5, 5, 1)), np.ones((4, 75)), callbacks=[monitor, table], verbose=0)
    lines = [json.loads(x) for x in (tmp_path / "singular_values.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    np.testing.assert_allclose(lines[-1]["largest"], _singular_values(model.layers[0].kernel)[0])
    assert "conv_kernel_sigma_max" in (tmp_path / "log.csv").read_text().splitlines()[0]


def test_monitor_outlives_a_training_that_ends_in_nan(tmp_path):
    model = keras.Sequential([keras.Input((4,)), SpectralDense(3, name="dense")])
    model.compile("sgd", "mse")
    watch = [MonitorCallback(["dense"], tmp_path, target) for target in ("kernel", "wbar")]
    watch.append(keras.callbacks.TerminateOnNaN())
    history = model.fit(np.ones((2, 4)), np.full((2, 3), np.nan), callbacks=watch, verbose=0)
    for name in ("kernel_sigma_max", "kernel_drift", "wbar_sigma_max", "wbar_drift"):
        assert np.isnan(history.history[f"dense_{name}"]).all()
    lines = (tmp_path / "singular_values.jsonl").read_text().splitlines()
    assert [json.loads(line)["largest"] for line in lines] == [None, None]


def test_monitor_names_what_it_cannot_watch(tmp_path):
    with pytest.raises(ValueError, match="`monitored_layers`.*GroupSort2"):
        _fit(_model(), MonitorCallback(["sort"], tmp_path))
    with pytest.raises(ValueError, match="`monitored_layers`.*inference_kernel.*head"):
        _fit(_model(), MonitorCallback(["head"], tmp_path, target="wbar"))
    with pytest.raises(ValueError, match="`monitored_layers`.*nowhere"):
        _fit(_model(), MonitorCallback(["nowhere"], tmp_path))


@pytest.mark.parametrize("steps_per_execution", [1, executions(2)])
def test_the_compiled_step_sees_the_schedule(steps_per_execution):
    # With a zero head and alpha alone changing, the loss is exactly alpha * margin / 2.
    model = _model(steps_per_execution=steps_per_execution)
    model.optimizer.learning_rate.assign(0.0)
    model.get_layer("head").kernel.assign(np.zeros((4, 1)))
    scheduler = LossParamScheduler("alpha", fp=[4.0, 0.0], xp=[2, 6])
    history = _fit(model, scheduler, epochs=3).history["loss"]
    schedule = np.interp(np.arange(12) // steps_per_execution * steps_per_execution, [2, 6], [4, 0])
    np.testing.assert_allclose(history, 0.5 * schedule.reshape(3, 4).mean(axis=1), atol=1e-5)
    assert scheduler.step == 12
    assert float(model.loss.alpha) == 0.0


@pytest.mark.parametrize("steps_per_execution", [1, executions(3), executions(8)])
def test_a_schedule_counts_the_steps_that_an_epoch_has(steps_per_execution):
    # Keras says that the last execution of four steps ended with the sixth or the eighth.
    scheduler = LossParamScheduler("alpha", fp=[4.0, 0.0], xp=[2, 6])
    _fit(_model(steps_per_execution=steps_per_execution), scheduler, epochs=3)
    assert scheduler.step == 12


def test_a_schedule_resumes():
    first = LossParamScheduler("alpha", fp=[0.0, 8.0], xp=[0, 8])
    model = _model()
    _fit(model, first)
    assert float(model.loss.alpha) == 3.0
    second = LossParamScheduler(**first.get_config())
    _fit(model, second)
    assert float(model.loss.alpha) == 7.0


def test_the_log_prints_and_records(capsys):
    history = _fit(_model(), LossParamLog("min_margin", rate=2), epochs=3).history
    assert capsys.readouterr().out == "HKR.min_margin = 1.0\n" * 2
    assert history["HKR_min_margin"] == [1.0] * 3


def test_round_trips():
    for callback in (
        CondenseCallback(False, True),
        MonitorCallback(["a", "b"], "log", "wbar", "all", False, True),
        LossParamScheduler("alpha", [1.0, 2.0], [0.0, 10.0], step=3),
        LossParamLog("alpha", 5),
    ):
        check_serializable(callback)


@pytest.mark.parametrize(
    "make, argument",
    [
        (lambda: MonitorCallback("hidden", "log"), "monitored_layers"),
        (lambda: MonitorCallback(["hidden"], "log", target="bias"), "target"),
        (lambda: MonitorCallback(["hidden"], "log", what="mean"), "what"),
        (lambda: LossParamScheduler("alpha", [1.0], [0, 1]), "xp"),
        (lambda: LossParamScheduler("alpha", [1.0, 2.0], [1, 1]), "xp"),
        (lambda: LossParamScheduler("alpha", [], []), "xp"),
        (lambda: LossParamScheduler("alpha", [1.0, 2.0, 3.0], [0, float("nan"), 5]), "xp"),
        (lambda: LossParamScheduler("alpha", [float("nan")], [0]), "fp"),
        (lambda: RadiusSchedule([float("nan")], [0]), "fp"),
        (lambda: LossParamScheduler("alpha", [1.0], [0], step=-1), "step"),
        (lambda: LossParamLog("alpha", rate=0), "rate"),
        (lambda: _fit(_model(), LossParamScheduler("beta", [1.0], [0])), "param_name"),
        (lambda: _fit(_model(), LossParamScheduler("name", [1.0], [0])), "param_name"),
        (lambda: _fit(_model(), LossParamLog("beta")), "param_name"),
    ],
)
def test_bad_arguments_are_named(make, argument):
    with pytest.raises(ValueError, match=f"`{argument}`"):
        make()


def test_a_loss_given_by_name_has_no_parameter():
    model = _model()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="`param_name`.*mse"):
        _fit(model, LossParamLog("alpha"))


@pytest.mark.skipif(ONE_BY_ONE, reason="Keras runs several steps at once elsewhere.")
def test_monitor_counts_steps_through_executions_and_resumes(tmp_path):
    def fit(epochs):
        model = _model()
        model.compile("sgd", "mse", steps_per_execution=2)
        monitor = MonitorCallback(["hidden"], tmp_path / "log")
        backup = lipot.callbacks.Backup(tmp_path / "backup", keeps=[monitor])
        x = np.ones((20, *model.input_shape[1:]))
        y = np.ones((20, *model.output_shape[1:]))
        model.fit(x, y, batch_size=4, epochs=epochs, verbose=0, callbacks=[monitor, backup])

    fit(1)
    fit(2)
    lines = (tmp_path / "log" / "singular_values.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [5, 10]


def test_monitor_finds_layers_inside_a_model_around_them(tmp_path):
    network = keras.Sequential([keras.Input((6,)), SpectralDense(3, name="inner")])
    terms = [lipot.losses.AdversarialCrossentropy()]
    robust = lipot.AdversarialModel(network, None, terms)
    robust.compile("sgd")
    monitor = MonitorCallback(["inner"], tmp_path)
    history = robust.fit(X, np.arange(16) % 3, verbose=0, callbacks=[monitor]).history
    largest = _singular_values(network.layers[0].kernel)[0]
    assert history["inner_kernel_sigma_max"] == [pytest.approx(largest, rel=1e-5)]
