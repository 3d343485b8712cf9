"""Workers share an evaluation and change nothing in it, whatever happens to them."""

import json
import os
import signal
import socket
import sys
import threading
import types

import keras
import numpy as np
import pytest

import lipot
from lipot import workers
from lipot.evaluation.record.about import circumstances
from lipot.workers import Pool, _Worker, check_workers

RNG = np.random.default_rng(0)
X = RNG.uniform(size=(40, 6)).astype("float32")
Y = RNG.integers(0, 3, 40)
QUIET = {"sanity": False, "views": False, "progress": False, "clip_values": (0, 1)}


def network():
    keras.utils.set_random_seed(0)
    layers = [lipot.layers.SpectralDense(8), lipot.layers.GroupSort2()]
    return keras.Sequential([keras.Input((6,)), *layers, lipot.layers.FrobeniusDense(3)])


def evaluated(model, folder, attacks=("fgsm", "pgd", "deepfool", "square"), **settings):
    report = lipot.evaluate(
        model, X, Y, 2, [0.05, 0.2], list(attacks), batch_size=7, resume=folder, **QUIET, **settings
    )
    record = report.evaluations[0].to_dict()
    assert record.pop("seconds").keys() == set(attacks)
    return record, {file.name: kept(file) for file in folder.glob("*.npz")}


def kept(file):
    with np.load(file) as arrays:
        return {name: arrays[name].tolist() for name in arrays if name != "seconds"}


@pytest.fixture(scope="module")
def ray():
    return pytest.importorskip("ray")


@pytest.mark.parametrize(
    ("workers", "words"),
    [
        (0, "a positive integer"),
        (True, "a positive integer"),
        (2.5, "a positive integer"),
        ("two", '"ray://host:port"'),
        ("ray://nowhere", '"ray://host:port"'),
        (11, "at most 10, the number of points"),
    ],
)
def test_what_no_number_of_workers_is(workers, words):
    with pytest.raises(ValueError, match=f"argument `workers`. Expected .*{words}"):
        check_workers(workers, most=10)


def test_more_workers_than_points_is_an_error(ray):
    with pytest.raises(ValueError, match="at most 3, the number of points.*workers=4"):
        lipot.evaluate(network(), X[:3], Y[:3], 2, 0.1, "fgsm", workers=4, **QUIET)
    with pytest.raises(ValueError, match="at most 3, the number of points.*workers=4"):
        lipot.certify(network(), X[:3], workers=4)


def test_a_cluster_that_is_not_there_is_said(ray):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ValueError, match="Ray cluster that is running.*nothing answers"):
        lipot.certify(network(), X, workers=f"ray://127.0.0.1:{port}")


@pytest.mark.slow
def test_what_answers_and_is_no_cluster_is_said(ray, monkeypatch):
    monkeypatch.setattr("ray.util.client.worker.INITIAL_TIMEOUT_SEC", 1)
    monkeypatch.setenv("RAY_CLIENT_RECONNECT_GRACE_PERIOD", "1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"ray://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ValueError, match=f"Ray cluster that is running.*{address}"):
            lipot.certify(network(), X, workers=address)


def test_without_ray_it_is_asked_for(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ImportError, match=r"lipot\[ray\]"):
        lipot.certify(network(), X, workers=2)


class Here:
    """A Ray whose workers are objects of this process."""

    exceptions = types.SimpleNamespace(RayError=ConnectionError)

    def __init__(self):
        self.started, self.kept = {}, []

    def is_initialized(self):
        return False

    def init(self, **settings):
        self.started = settings

    def put(self, value):
        self.kept.append(value)
        return value

    def get(self, value):
        return value

    def remote(self, **settings):
        def make(*arguments):
            assert all(any(a is kept for kept in self.kept) for a in arguments[:2])
            return Actor(_Worker(*arguments))

        return lambda made: types.SimpleNamespace(remote=make)

    def kill(self, worker):
        pass

    def shutdown(self):
        self.started = {}


class Actor:
    def __init__(self, worker):
        self._worker = worker

    def __getattr__(self, name):
        return types.SimpleNamespace(remote=getattr(self._worker, name))


@pytest.fixture
def here(monkeypatch):
    ray = Here()
    monkeypatch.setattr(workers, "_ray", lambda: ray)
    return ray


def test_a_cluster_that_runs_on_this_machine_is_not_asked_for_a_number_of_workers(here):
    # Where one does, or RAY_ADDRESS names one, Ray would look there, and refuse `num_cpus`.
    with Pool(3, network(), lambda model: model):
        assert (here.started["address"], here.started["num_cpus"]) == ("local", 3)
        # A model with its state is there once, however many workers load it.
        assert len(here.kept) == 2
    assert here.started == {}


@pytest.mark.parametrize("name", ["lipot", "keras", "numpy", "backend"])
def test_workers_with_other_packages_are_refused(here, monkeypatch, name):
    ours = workers._versions()
    name = keras.backend.backend() if name == "backend" else name
    worker, theirs = workers._Worker.__init__, {**ours, name: "0.0.1"}

    def elsewhere(self, file, state, prepare, settings, versions, of_keras):
        monkeypatch.setattr(workers, "_versions", lambda: theirs)
        worker(self, file, state, prepare, settings, versions, of_keras)

    monkeypatch.setattr(workers._Worker, "__init__", elsewhere)
    words = f"argument `workers`. Expected .*packages.* {name} 0.0.1 for {ours[name]}$"
    with pytest.raises(ValueError, match=words):
        Pool(1, network(), lambda model: model)


def test_an_error_in_a_worker_is_raised_with_where_it_was(here, monkeypatch):
    class TaskError(Exception):
        cause = KeyError("step")

    def fails(reference):
        raise TaskError("traceback of the worker")

    monkeypatch.setattr(Here.exceptions, "RayTaskError", TaskError, raising=False)
    with Pool(1, network(), lambda model: model) as pool:
        monkeypatch.setattr(here, "get", fails)
        with pytest.raises(KeyError, match="step") as raised:
            pool._result("reference")
    assert "traceback of the worker" in str(raised.value.__cause__)


def test_a_worker_in_the_place_of_a_lost_one_says_why_it_has_no_model():
    again = _Worker(b"half a file", [], None, {}, workers._versions(), {})
    with pytest.raises(RuntimeError, match="worker was lost.*could not load the model: .*Error"):
        again.run(None, ())


@pytest.mark.slow
def test_two_workers_find_what_one_process_finds(ray, tmp_path):
    model = network()
    alone = evaluated(model, tmp_path / "alone")
    shared = evaluated(model, tmp_path / "shared", workers=2)
    assert json.dumps(shared[0]) == json.dumps(alone[0])
    assert shared[1] == alone[1]
    assert not ray.is_initialized()
    expected, found = (
        lipot.certify(model, X, Y, batch_size=7, workers=workers) for workers in (None, 2)
    )
    for name in ("radius", "predictions", "correct", "rounding"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.slow
def test_lost_workers_change_nothing(ray, tmp_path):
    def pid(prepared):
        return os.getpid()

    model = network()
    alone = evaluated(model, tmp_path / "alone")
    pids, original = [], Pool.map

    def watched(pool, function, jobs):
        # Whoever is there when a step begins: a worker dies in the middle of each of three.
        running = ray.get([worker.run.remote(pid, ()) for worker in pool._workers])
        if len(pids) < 3:
            pids.append(running[len(pids) % 2])
            threading.Timer(0.02, os.kill, (pids[-1], signal.SIGKILL)).start()
        yield from original(pool, function, jobs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pool, "map", watched)
        shared = evaluated(model, tmp_path / "shared", workers=2)
    assert len(pids) == 3
    assert json.dumps(shared[0]) == json.dumps(alone[0])
    assert shared[1] == alone[1]


class Lost:
    """A pool whose worker is lost for good after some pieces of work."""

    def __init__(self, task, left):
        self.task, self.left = task, left

    def map(self, function, jobs):
        for place, job in enumerate(jobs):
            if self.left == 0:
                raise RuntimeError("A worker was lost.")
            self.left -= 1
            yield place, function(self.task, *job), 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


def test_what_was_found_before_all_workers_were_lost_is_kept(tmp_path, monkeypatch):
    model = network()
    expected, files = evaluated(model, tmp_path / "alone", ["fgsm"])
    # Under this name the package has the function.
    module = sys.modules["lipot.evaluation.evaluate"]
    monkeypatch.setattr(module, "_pool", lambda workers, task: Lost(task, 1))
    with pytest.raises(RuntimeError, match="A worker was lost"):
        evaluated(model, tmp_path / "shared", ["fgsm"], workers=2)
    monkeypatch.undo()
    assert len(list((tmp_path / "shared").glob("*.npz"))) == 1
    found = evaluated(model, tmp_path / "shared", ["fgsm"])
    assert json.dumps(found[0]) == json.dumps(expected)
    assert found[1] == files


@pytest.mark.slow
def test_workers_that_cannot_import_what_they_run_are_said(ray, monkeypatch):
    module = types.ModuleType("only_here")
    exec("def prepare(model):\n    return model", vars(module))
    monkeypatch.setitem(sys.modules, "only_here", module)
    with pytest.raises(ValueError, match="argument `model`. Expected .* every worker.*only_here"):
        Pool(1, network(), module.prepare)


@pytest.mark.slow
def test_a_model_that_a_worker_cannot_load_is_said(ray):
    @keras.saving.register_keras_serializable("here")
    class Unknown(keras.layers.Layer):
        def call(self, x):
            return x

    model = keras.Sequential([keras.Input((6,)), Unknown(), keras.layers.Dense(3)])
    with pytest.raises(
        ValueError, match="argument `model`. Expected a model that every worker.*Un"
    ):
        lipot.evaluate(model, X, Y, 2, 0.1, "fgsm", workers=1, **QUIET)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux keeps processes on cores")
def test_a_process_kept_on_one_core_says_so():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert ", one core, " in circumstances((6, 4), 3)["machine"]
    finally:
        os.sched_setaffinity(0, before)
