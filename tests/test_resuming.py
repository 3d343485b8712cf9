"""Trainings by the clock, and trainings that are stopped and go on."""

import math
import os
import pathlib
import shutil

import keras
import numpy as np
import pytest

from lipot import datasets, layers, losses
from lipot.backend import keras_graph
from lipot.callbacks import Backup, LossParamScheduler, TimeBudget
from lipot.recipes.linf_dist import train_linf_dist
from tests.helpers import to_numpy

ROOT = pathlib.Path(__file__).parents[1]
X = np.random.default_rng(0).normal(size=(48, 4)).astype("float32")
Y = np.eye(3)[np.arange(48) % 3]


def network(loss=None, optimizer=None):
    keras.utils.set_random_seed(0)
    parts = [layers.SpectralDense(8), layers.GroupSort2(), layers.FrobeniusDense(3)]
    model = keras.Sequential([keras.Input((4,)), *parts])
    model.compile(optimizer or keras.optimizers.Adam(0.01), loss or losses.GloRo(0.1))
    return model


def fit(model, *callbacks, epochs=1):
    return model.fit(
        X, Y, batch_size=16, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks)
    )


class Clock:
    """Time that passes by a second each time somebody looks."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        self.now += 1.0
        return self.now


class Eps(keras.callbacks.Callback):
    """The radius at each step of a training."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_begin(self, batch, logs=None):
        self.seen.append(float(self.model.loss.eps))


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("lipot.callbacks.time_budget.time", clock)
    return clock


@pytest.mark.smoke
def test_the_rate_of_compiled_steps_follows_the_clock(clock):
    # Gradients of a sum are all one: the weights move by the sum of the rates. All steps are of
    # one epoch, between two of which JAX would be told of the rate anyway.
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, use_bias=False)])
    model.compile(keras.optimizers.SGD(0.5), lambda y, z: keras.ops.sum(z, axis=-1))
    before = to_numpy(model.weights[0]).copy()
    # Two looks a step: after 20 seconds, ten steps, the time is up.
    budget = TimeBudget(19.5 / 60, warmup=0.25)
    ones = np.ones((48, 4), "float32")
    history = model.fit(ones, Y, batch_size=4, epochs=100, verbose=0, callbacks=[budget])
    assert history.epoch == [0]
    shares = (1.0 + 2.0 * np.arange(10)) / 19.5
    rates = 0.5 * np.minimum(1.0, shares / 0.25) * (1 + np.cos(math.pi * shares)) / 2
    np.testing.assert_allclose(before - to_numpy(model.weights[0]), rates.sum(), rtol=1e-3)
    assert budget.spent == pytest.approx(20 / 60)
    assert float(model.optimizer.learning_rate) == 0.5


def test_a_budget_begins_anew_for_another_model(clock):
    budget = TimeBudget(20.5 / 60)
    first, second = network(), network(optimizer=keras.optimizers.Adam(0.02))
    # Six looks an epoch of three steps.
    assert [fit(model, budget, epochs=100).epoch[-1] for model in (first, second)] == [3, 3]
    assert budget.get_config()["learning_rate"] == pytest.approx(0.02)
    assert TimeBudget.from_config(budget.get_config()).spent == budget.spent
    rates = [float(model.optimizer.learning_rate) for model in (first, second)]
    assert rates == pytest.approx([0.01, 0.02])
    with pytest.raises(ValueError, match="`learning_rate`"):
        fit(network(optimizer=keras.optimizers.Adam(0.0)), TimeBudget(1.0))


@pytest.mark.slow
def test_numbers_of_the_loss_follow_the_clock(clock):
    radius = Eps()
    budget = TimeBudget(11.5 / 60, loss_params={"eps": ([0.0, 1.15], [0.0, 0.5])})
    fit(network(), budget, radius, epochs=100)
    np.testing.assert_allclose(radius.seen, [0.2, 0.6, 1.0, 1.15, 1.15, 1.15], rtol=1e-5)


def test_a_budget_that_is_spent_changes_no_weight(clock):
    model = network()
    fit(model, TimeBudget(8 / 60), epochs=100)
    kernel = to_numpy(model.trainable_weights[-2])
    with pytest.warns(UserWarning, match="used up"):
        fit(model, TimeBudget(1.0, learning_rate=0.1, spent=1.0), epochs=100)
    np.testing.assert_allclose(to_numpy(model.trainable_weights[-2]), kernel, atol=1e-7)


@pytest.mark.smoke
@pytest.mark.parametrize("stop", [1, 2])
def test_a_resumed_training_is_the_uninterrupted_one(tmp_path, stop):
    def schedule():
        return LossParamScheduler("eps", [0.0, 1.0], [0, 8])

    whole = network()
    fit(whole, schedule(), epochs=3)

    first = schedule()
    fit(network(), first, Backup(tmp_path, [first]), epochs=stop)
    assert [path.name for path in tmp_path.iterdir()] == [f"epoch-{stop}"]
    second, resumed = schedule(), network()
    history = fit(resumed, second, Backup(tmp_path, [second]), epochs=3)
    assert history.epoch == list(range(stop, 3))
    assert second.step == 9
    assert int(resumed.optimizer.iterations) == 9
    for ours, theirs in zip(resumed.get_weights(), whole.get_weights()):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("backup_first", [True, False])
def test_a_resumed_budget_goes_on_where_the_kept_epoch_ended(tmp_path, clock, backup_first):
    def callbacks(budget):
        pair = [budget, Backup(tmp_path, [budget])]
        return pair[::-1] if backup_first else pair

    # Six looks an epoch of three steps.
    fit(network(), *callbacks(TimeBudget(23.5 / 60)), epochs=2)
    budget = TimeBudget(23.5 / 60)
    model = network(optimizer=keras.optimizers.Adam(5.0))
    assert fit(model, *callbacks(budget), epochs=100).epoch == [2, 3]
    # The rate is that which the training began with.
    assert budget.learning_rate == pytest.approx(0.01)
    assert budget.spent == pytest.approx(24 / 60)


def test_a_draft_that_a_kill_left_is_overwritten(tmp_path):
    fit(network(), Backup(tmp_path), epochs=1)
    (tmp_path / "draft-0").mkdir()
    (tmp_path / "draft-0" / "model.weights.h5").write_text("half a file")
    assert fit(network(), Backup(tmp_path), epochs=2).epoch == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-2"]


def test_a_backup_is_on_the_disk_before_the_older_one_is_removed(tmp_path, monkeypatch):
    fit(network(), Backup(tmp_path), epochs=1)
    flushed, fsync, rmtree = set(), os.fsync, shutil.rmtree

    def recorded(stream):
        flushed.add(os.fstat(stream).st_ino)
        fsync(stream)

    def checked(folder, **how):
        if pathlib.Path(folder).name == "epoch-1":
            new = tmp_path / "epoch-2"
            assert {path.stat().st_ino for path in (tmp_path, new, *new.iterdir())} <= flushed
        rmtree(folder, **how)

    monkeypatch.setattr(os, "fsync", recorded)
    monkeypatch.setattr(shutil, "rmtree", checked)
    fit(network(), Backup(tmp_path), epochs=2)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-2"] and flushed


def test_a_kill_while_old_epochs_are_removed_leaves_the_newest(tmp_path):
    fit(network(), Backup(tmp_path), epochs=2)
    (tmp_path / "epoch-1").mkdir()
    (tmp_path / "epoch-10").mkdir()
    for file in (tmp_path / "epoch-2").iterdir():
        (tmp_path / "epoch-10" / file.name).write_bytes(file.read_bytes().replace(b": 2", b": 10"))
    assert fit(network(), Backup(tmp_path), epochs=11).epoch == [10]


def test_a_backup_leaves_alone_what_others_write_beside_it(tmp_path):
    (tmp_path / "epoch-01.keras").write_text("a checkpoint")
    (tmp_path / "epoch-7").mkdir()
    (tmp_path / "epoch-7" / "saved_model.pb").write_text("an export")
    fit(network(), Backup(tmp_path), epochs=2)
    assert fit(network(), Backup(tmp_path), epochs=3).epoch == [2]
    assert {path.name for path in tmp_path.iterdir()} == {"epoch-01.keras", "epoch-7", "epoch-3"}
    with pytest.raises(ValueError, match="`folder`.*'epoch-7' that is no backup"):
        fit(network(), Backup(tmp_path), epochs=7)
    assert (tmp_path / "epoch-7" / "saved_model.pb").exists()


def test_a_backup_is_written_at_most_once_in_its_seconds_and_at_the_end(tmp_path, monkeypatch):
    written = []
    save = keras.Model.save_weights
    monkeypatch.setattr(
        keras.Model, "save_weights", lambda self, path: written.append(1) or save(self, path)
    )
    fit(network(), Backup(tmp_path, seconds=3600.0), epochs=3)
    assert len(written) == 1
    assert fit(network(), Backup(tmp_path), epochs=5).epoch == [3, 4]


def test_callbacks_find_their_progress_in_any_order(tmp_path):
    budget, schedule = TimeBudget(10.0), LossParamScheduler("eps", [0.1, 0.2], [0, 9])
    fit(network(), budget, schedule, Backup(tmp_path, keeps=[budget, schedule]))
    again, after = TimeBudget(10.0), LossParamScheduler("eps", [0.1, 0.2], [0, 9])
    fit(network(), again, after, Backup(tmp_path, keeps=[after, again]), epochs=2)
    assert again.spent > budget.spent > 0.0
    with pytest.raises(ValueError, match="`keeps`.*'LossParamScheduler', 'TimeBudget'.*Received"):
        fit(network(), again, Backup(tmp_path, keeps=[again]), epochs=3)


def test_a_backup_of_a_training_that_ended_says_that_nothing_is_trained(tmp_path):
    fit(network(), Backup(tmp_path), epochs=1)
    # As a loop over folds would with one folder for all.
    with pytest.warns(UserWarning, match="of all 1 epochs: nothing is trained"):
        assert fit(network(), Backup(tmp_path), epochs=1).epoch == []


def test_after_a_backup_another_fit_starts_at_its_first_epoch(tmp_path):
    model = network()
    fit(model, Backup(tmp_path), epochs=2)
    fit(model, Backup(tmp_path), epochs=3)
    assert fit(model, epochs=2).epoch == [0, 1]


def test_keras_lets_a_running_fit_start_late():
    class Late(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            keras_graph.start_at_epoch(self.model, 2)

    assert fit(network(), Late(), epochs=3).epoch == [2]


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: TimeBudget(0.0), "`minutes`"),
        (lambda: TimeBudget(1.0, learning_rate=-1.0), "`learning_rate`"),
        (lambda: TimeBudget(1.0, warmup=1.0), "`warmup`.*below 1"),
        (lambda: TimeBudget(1.0, loss_params={"eps": ([1.0], [2.0])}), "`loss_params`"),
        (lambda: TimeBudget(1.0, loss_params={"eps": ([1.0, 2.0], [0.5, 0.5])}), "`loss_params`"),
        (lambda: Backup("kept", [keras.callbacks.TerminateOnNaN()]), "`keeps`"),
        (lambda: fit(network(), TimeBudget(1.0, loss_params={"zeta": ([1.0], [0.0])})), "zeta"),
        (lambda: fit(network(), TimeBudget(1.0, loss_params={"name": ([1.0], [0.0])})), "`assign`"),
        (lambda: fit(network(), TimeBudget(1.0, loss_params={"eps": ([-1.0], [0.0])})), "`eps`"),
    ],
)
def test_bad_arguments_are_named(make, word):
    with pytest.raises(ValueError, match=word):
        make()


def exponents_of(model):
    return [float(layer.exponent) for layer in model.layers if hasattr(layer, "exponent")]


def test_a_training_of_distances_taken_up_ends_with_infinite_exponents(tmp_path):
    class Killed(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise InterruptedError

    data = datasets.load("digits")
    how = {"epochs": 3, "batch_size": 256, "width": 8, "depth": 2}
    with pytest.raises(InterruptedError):
        train_linf_dist(data, callbacks=[Backup(tmp_path), Killed()], **how)
    model = train_linf_dist(data, callbacks=[Backup(tmp_path)], **how)
    exponents = exponents_of(model)
    whole = train_linf_dist(data, **how)
    assert exponents == exponents_of(whole)
    assert min(exponents) > 1e5
