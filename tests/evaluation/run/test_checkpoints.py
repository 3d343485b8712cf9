"""A killed evaluation ends with the numbers of one that ran through."""

import json
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import lipot
from lipot.evaluation.run.checkpoints import Folder
from lipot.evaluation.run.identity import attack_told, model_digest
from lipot.files import digest
from tests.evaluation.cases import STEP, Crossing, linear

QUIET = {"sanity": False, "views": False, "progress": False, "clip_values": (0, 1)}

# Slow enough to be killed in the middle, quick enough for a test.
SCRIPT = """
import time
import keras, numpy as np
from art.attacks.evasion import ProjectedGradientDescent
import lipot

def slow(target, norm, eps):
    time.sleep(PAUSE)
    return ProjectedGradientDescent(
        target, norm=norm, eps=eps, eps_step=eps, max_iter=2, num_random_init=1, verbose=False)

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
x, y = rng.uniform(size=(40, 6)).astype("float32"), rng.integers(0, 3, 40)
model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(9, "relu"), keras.layers.Dense(3)])
report = lipot.evaluate(
    model, x, y, 2, [0.02, 0.05, 0.1], [lipot.evaluation.AttackSpec("slow", slow)],
    batch_size=3, resume=FOLDER, clip_values=(0, 1),
    sanity=False, views=False, progress=False)
"""


def run_here(folder):
    # The module of an attack is part of what it is: that of the script that was killed.
    names = {"__name__": "__main__", "FOLDER": folder, "PAUSE": 0.0}
    exec(SCRIPT, names)
    return [row.tolist() for row in names["report"].evaluations[0].broken_by.values()]


def chunks(folder):
    return len(list(folder.glob("*.npz")))


@pytest.mark.slow
def test_killed_and_started_again(tmp_path):
    through, killed = tmp_path / "through", tmp_path / "killed"
    expected = run_here(through)
    for more in (2, 2, 2):
        before = chunks(killed)
        process = subprocess.Popen(
            [sys.executable, "-c", f"FOLDER, PAUSE = {str(killed)!r}, 0.3\n{SCRIPT}"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        while chunks(killed) < before + more and process.poll() is None:
            time.sleep(0.02)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert 6 <= chunks(killed) < chunks(through)
    assert run_here(killed) == expected
    assert chunks(killed) == chunks(through)


class Killed(Exception):
    pass


def test_interrupted_anywhere_the_numbers_are_the_same(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    x, y = rng.uniform(size=(20, 5)).astype("float32"), rng.integers(0, 2, 20)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    settings = {"norm": 2, "eps": [0.05, 0.2], "attacks": ["pgd", "hopskipjump"], **QUIET}
    expected = lipot.evaluate(model, x, y, batch_size=4, **settings).evaluations[0]
    save, left = Folder.save, [5]

    def fails_at_times(self, name, arrays):
        left[0] -= 1
        if left[0] == 0:
            left[0] = 5
            raise Killed
        save(self, name, arrays)

    monkeypatch.setattr(Folder, "save", fails_at_times)
    report, kills = None, 0
    while report is None:
        try:
            report = lipot.evaluate(model, x, y, batch_size=4, resume=tmp_path, **settings)
        except Killed:
            kills += 1
    assert kills >= 2
    for eps, row in report.evaluations[0].broken_by.items():
        assert np.array_equal(row, expected.broken_by[eps])


def test_a_folder_of_another_evaluation_is_refused(tmp_path):
    x, y = np.linspace(0, 1, 12).reshape(6, 2), [0, 1] * 3
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    settings = {"norm": 2, "eps": 0.1, "attacks": ["fgsm"], "resume": tmp_path, **QUIET}
    lipot.evaluate(model, x, y, **settings)
    lipot.evaluate(model, x, y, **settings)
    with pytest.raises(
        ValueError, match=r"`resume`.*other eps \(eps there: \[0.1\]; here: \[0.2\]"
    ):
        lipot.evaluate(model, x, y, **{**settings, "eps": 0.2})
    with pytest.raises(ValueError, match="`resume`.*other data"):
        lipot.evaluate(model, x[::-1], y[::-1], **settings)
    with pytest.raises(ValueError, match="`resume`.*other attacks"):
        lipot.evaluate(model, x, y, **{**settings, "attacks": ["pgd"]})
    model.set_weights([2 * weight for weight in model.get_weights()])
    with pytest.raises(ValueError, match="`resume`.*other model"):
        lipot.evaluate(model, x, y, **settings)


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="`resume`. Expected an empty folder.*notes.txt"):
        Folder(tmp_path, {})


def test_drafts_of_a_killed_process_do_no_harm(tmp_path):
    (tmp_path / "evaluation.json.123.part").write_text('{"half')
    folder = Folder(tmp_path, {"a": (1, 2)})
    assert json.loads((tmp_path / "evaluation.json").read_text()) == {"a": [1, 2]}
    folder.save("part", {"x": np.arange(3)})
    assert folder.load("part")["x"].tolist() == [0, 1, 2]
    assert folder.load("other") is None


def test_digests():
    zeros = np.zeros((2, 3))
    assert digest(zeros) == digest(zeros.copy())
    others = (zeros.reshape(3, 2), zeros.astype("float32"), zeros + 1e-300)
    assert len({digest(zeros), *map(digest, others)}) == 4

    def network(activation):
        keras.utils.set_random_seed(0)
        return keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation)])

    # The same network, built anew, has other names.
    assert model_digest(network("relu")) == model_digest(network("relu"))
    assert model_digest(network("relu")) != model_digest(network("tanh"))


def _graph(swapped):
    """A graph of two dense layers of one size, called on one another in one of two orders."""
    keras.utils.set_random_seed(0)
    first, second = keras.layers.Dense(2), keras.layers.Dense(2)
    x = keras.Input((2,))
    shared = first(x) + second(first(x))
    return keras.Model(x, first(shared) if swapped else second(shared))


class _Scaled(keras.Model):
    """A model whose `call` depends on what no layer says."""

    def __init__(self, factor):
        super().__init__()
        self.factor, self.dense = factor, keras.layers.Dense(2, kernel_initializer="ones")
        self.build((None, 2))

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.built = True

    def call(self, inputs):
        return self.factor * self.dense(inputs)


def _purified(backward):
    keras.utils.set_random_seed(0)
    classifier = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten()])
    classifier.add(keras.layers.Dense(2))
    purifier = lipot.purifiers.MedianFilter(3)
    model = lipot.models.Purified(purifier, classifier, backward)
    model(np.zeros((1, 6, 6, 1), "float32"))
    return model


def _otad(neighbors):
    keras.utils.set_random_seed(0)
    backbone = keras.Sequential([keras.Input((2,)), keras.layers.Rescaling(2.0)])
    model = lipot.OTAD(backbone, keras.layers.Dense(2), neighbors)
    return model.adapt(np.random.default_rng(0).uniform(size=(30, 2)).astype("float32"))


TWINS = {
    "a graph": (_graph, False, True),
    "a subclass": (_Scaled, 1.0, 2.0),
    "a purifier's derivative": (_purified, "identity", "exact"),
    "neighbors": (_otad, 3, 7),
}


@pytest.mark.parametrize("name", TWINS)
def test_models_of_the_same_weights_are_told_apart(name):
    build, one, other = TWINS[name]
    # Built twice the same model has other names inside.
    assert model_digest(build(one)) == model_digest(build(one))
    assert model_digest(build(one)) != model_digest(build(other))


class _Moves:
    def __init__(self, size):
        self.size = size

    def generate(self, x, y):
        return x + self.size * np.random.normal(size=x.shape).astype("float32")


def test_attacks_of_one_name_are_told_apart():
    spec = lipot.evaluation.AttackSpec
    still = spec("own", lambda target, norm, eps, **settings: _Moves(0.0))
    moving = spec("own", lambda target, norm, eps, **settings: _Moves(1.0))
    by_distance = still._replace(distance_norms=(2,))
    models = [still._replace(settings={"metric": _graph(swapped)}) for swapped in (False, True)]
    told = [attack_told(one) for one in (still, moving, by_distance, *models)]
    assert len(set(map(json.dumps, told))) == len(told)
    assert attack_told(still) == attack_told(still._replace())


def test_attacks_in_another_order_are_another_evaluation(tmp_path):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    x = np.random.default_rng(0).uniform(size=(8, 6)).astype("float32")
    y = model.predict(x, verbose=0).argmax(axis=1)
    how = {"resume": tmp_path, **QUIET}
    lipot.evaluate(model, x, y, 2, 0.1, ["fgsm", "pgd"], **how)
    with pytest.raises(ValueError, match="other attacks"):
        lipot.evaluate(model, x, y, 2, 0.1, ["pgd", "fgsm"], **how)


REACH = {"first": 0.15}


def _first(target, norm, eps):
    return Crossing(REACH["first"])


def _second(target, norm, eps):
    return Crossing(0.25)


def test_what_was_found_at_other_points_is_not_taken(tmp_path, monkeypatch):
    # Distances 0.1, 0.2 and 0.4 to the line: which of them reach the second attack depends on the
    # first, here on what another machine makes of it.
    x = np.array([[0.6, 0.0], [0.7, 1.0], [0.9, 0.5]])
    specs = [lipot.evaluation.AttackSpec("first", _first)]
    specs += [lipot.evaluation.AttackSpec("second", _second)]

    def broken():
        how = {"resume": tmp_path, "batch_size": 2, **QUIET}
        report = lipot.evaluate(linear(*STEP), x, [0, 0, 0], 2, 0.45, specs, **how)
        return report.evaluations[0].broken_by[0.45].tolist()

    assert broken() == [0, 1, -1]
    for chunk in tmp_path.glob("attack-00-*.npz"):
        chunk.unlink()
    monkeypatch.setitem(REACH, "first", 0.0)
    assert broken() == [1, 1, -1]


def test_of_two_evaluations_that_begin_at_once_the_second_is_refused(tmp_path, monkeypatch):
    unused = Folder._check_unused

    def late(self):
        unused(self)
        monkeypatch.undo()
        Folder(self.path, {"eps": 0.1})

    monkeypatch.setattr(Folder, "_check_unused", late)
    with pytest.raises(ValueError, match="other eps .eps there: 0.1; here: 0.2"):
        Folder(tmp_path, {"eps": 0.2})
    assert [file.name for file in tmp_path.iterdir()] == ["evaluation.json"]


def test_a_damaged_file_is_named(tmp_path):
    before = run_here(tmp_path)
    chunk = sorted(tmp_path.glob("attack-*.npz"))[0]
    chunk.write_bytes(chunk.read_bytes()[:50])
    with pytest.raises(ValueError, match=f"`resume`.*{chunk.name}, which is damaged"):
        run_here(tmp_path)
    chunk.unlink()
    assert run_here(tmp_path) == before
    (tmp_path / "evaluation.json").write_text("{")
    with pytest.raises(ValueError, match="`resume`.*evaluation.json, which is damaged"):
        run_here(tmp_path)
