"""Points in files answer as points in weights do, from any process, and say what is missing."""

import json
import os
import pathlib
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
from keras import ops

import lipot
from lipot import backend
from lipot.certificates.neighbor_sets import _look_over
from lipot.models.point_files import FileRows, PointFiles, PointWriter
from lipot.models.search import SEARCHES, BlockSearch, FaissSearch

RNG = np.random.default_rng(0)
X = RNG.uniform(size=(300, 6)).astype("float32")
QUERIES = RNG.uniform(size=(20, 6)).astype("float32")


def otad(x=X, *, metric=None, search="exact", folder=None):
    backbone = keras.Sequential([keras.Input((6,)), keras.layers.Rescaling(2.0)])
    head = keras.layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(seed=1))
    model = lipot.OTAD(backbone, head, neighbors=4, metric=metric, search=search)
    return model.adapt(x, batch_size=64, folder=folder)


def metric():
    return keras.layers.Dense(2, kernel_initializer=keras.initializers.RandomNormal(seed=2))


@pytest.fixture
def small_blocks(monkeypatch):
    for name in ("lipot.models.search", "lipot.certificates.neighbor_sets"):
        monkeypatch.setattr(f"{name}._BLOCK", 64)
    monkeypatch.setattr("lipot.models.search._NUMBERS", 512)


def by_hand(points, queries, count):
    distances = np.linalg.norm(queries[:, None].astype("float64") - points, axis=2)
    order = np.argsort(distances, axis=1)[:, :count]
    return order, np.take_along_axis(distances, order, axis=1)


@pytest.mark.parametrize("count", [1, 7, 300])
def test_blocks_find_what_all_points_at_once_give(small_blocks, count):
    search = BlockSearch(X, np.sum(X.astype("float64") ** 2, axis=1).astype("float32"))
    indices, distances = search.nearest(QUERIES, count)
    expected = by_hand(X, QUERIES, count)
    np.testing.assert_array_equal(indices, expected[0])
    np.testing.assert_allclose(distances, expected[1], rtol=1e-6)


def test_what_is_not_measured_is_as_far_as_is_said(small_blocks):
    places, rest = _look_over(X, QUERIES.astype("float64"), 10)
    order, distances = by_hand(X, QUERIES, 11)
    np.testing.assert_array_equal(np.sort(places, axis=1), np.sort(order[:, :10], axis=1))
    assert np.all(rest <= distances[:, 10])
    np.testing.assert_allclose(rest, distances[:, 10], rtol=1e-9)
    assert np.all(np.isinf(_look_over(X, QUERIES.astype("float64"), 300)[1]))


@pytest.mark.parametrize("with_metric", [False, True])
def test_files_answer_as_weights_do(tmp_path, small_blocks, with_metric):
    both = [
        otad(metric=metric() if with_metric else None, folder=folder)
        for folder in (None, tmp_path / "stored")
    ]
    weights, files = both
    assert files.memory.size == 300 and len(files.memory.weights) == 1
    assert not files.memory.supports_jit
    for ask in (
        lambda m: m.predict(QUERIES, verbose=0),
        lambda m: m.features(QUERIES, batch_size=8),
        lambda m: lipot.certify(m, QUERIES, batch_size=8).radius,
        lambda m: m.neighborhoods(QUERIES).distances,
        lambda m: backend.value_and_input_gradient(lambda x: ops.sum(m(x)[:, 0]), QUERIES)[1],
    ):
        ours, theirs = (ops.convert_to_numpy(ask(model)) for model in (files, weights))
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
        assert np.any(ours != 0.0)
    files.save(tmp_path / "model.keras")
    assert os.path.getsize(tmp_path / "model.keras") < 60_000
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    expected = files.predict(QUERIES, verbose=0)
    np.testing.assert_array_equal(loaded.predict(QUERIES, verbose=0), expected)


def test_attacks_run_through_files(tmp_path):
    reports = [
        lipot.evaluate(
            otad(folder=folder), QUERIES, np.arange(20) % 3, 2, [0.3], ["pgd"],
            clip_values=(0, 1), sanity=False, views=False, progress=False,
        ).evaluations[0]
        for folder in (None, tmp_path / "stored")
    ]  # fmt: skip
    np.testing.assert_array_equal(reports[0].broken_by[0.3], reports[1].broken_by[0.3])


def test_files_that_are_missing_are_said(tmp_path):
    model = otad(folder=tmp_path / "stored")
    model.save(tmp_path / "model.keras")
    expected = model.predict(QUERIES, verbose=0)
    (tmp_path / "stored").rename(tmp_path / "moved")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"argument `folder`. Expected .*attach\(folder\)"):
        loaded.predict(QUERIES, verbose=0)
    loaded.memory.attach(tmp_path / "moved")
    np.testing.assert_array_equal(loaded.predict(QUERIES, verbose=0), expected)
    otad(X[:50], folder=tmp_path / "moved")
    assert len(list((tmp_path / "moved").glob("*.codes"))) == 1
    with pytest.raises(ValueError, match=r"points of a later adapt\(\)"):
        loaded.memory.attach(tmp_path / "moved")
    with pytest.raises(ValueError, match="folder=.*for one that was not"):
        otad().memory.attach(tmp_path)


def test_points_that_another_model_replaced_are_said(tmp_path):
    older = otad(folder=tmp_path)
    otad(X[:50], folder=tmp_path)
    with pytest.raises(Exception, match=r"a later adapt\(\) replaces it"):
        older.memory.files.take(np.zeros((1, 2), "int32"))


@pytest.mark.parametrize("header", ["[]", '{"key": "ab', "{}"])
def test_a_folder_of_something_else_is_refused_before_anything_is_written(tmp_path, header):
    (tmp_path / "points.json").write_text(header)
    with pytest.raises(ValueError, match="argument `folder`.*points.json"):
        otad(folder=tmp_path)
    with pytest.raises(ValueError, match="argument `folder`.*points.json that is none"):
        PointFiles.open(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["points.json"]


def test_what_a_kill_left_half_written_is_removed(tmp_path):
    otad(folder=tmp_path)
    # As it is when a process is killed: nobody closes what was begun.
    halves = PointWriter(tmp_path)
    halves.add(X, X, X)
    (tmp_path / "notes.points").write_text("mine")
    assert len(list(tmp_path.iterdir())) == 5 + 3 + 1
    with PointWriter(tmp_path) as running:
        assert len(list(tmp_path.iterdir())) == 5 + 1
        running.add(X, X, X)
        # One that still writes keeps what it has.
        with PointWriter(tmp_path):
            assert len(list(tmp_path.iterdir())) == 5 + 3 + 1
    otad(X[:50], folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 5 + 1


def test_points_that_another_process_replaces_at_once_are_not_taken_for_its_own(
    tmp_path, monkeypatch
):
    publish = PointWriter._publish

    def followed(writer, header):
        publish(writer, header)
        monkeypatch.undo()
        otad(X[:50], folder=tmp_path)

    monkeypatch.setattr(PointWriter, "_publish", followed)
    with pytest.raises(ValueError, match=r"points of a later adapt\(\)"):
        otad(folder=tmp_path)


def test_weights_of_a_model_with_other_files_are_refused(tmp_path):
    model, other = otad(folder=tmp_path / "one"), otad(X[:50] + 1.0, folder=tmp_path / "other")
    center = ops.convert_to_numpy(model.memory.center)
    model.save_weights(tmp_path / "model.weights.h5")
    other.save_weights(tmp_path / "other.weights.h5")
    model.load_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ValueError, match=r"points of layer.*in files.*loaded by `keras.models"):
        model.load_weights(tmp_path / "other.weights.h5")
    np.testing.assert_array_equal(model.memory.center, center)


def test_points_are_on_the_disk_before_those_that_they_replace_are_removed(tmp_path, monkeypatch):
    otad(folder=tmp_path)
    flushed, fsync, remove = set(), os.fsync, PointWriter._remove

    def recorded(stream):
        flushed.add(os.fstat(stream).st_ino)
        fsync(stream)

    def checked(writer, key):
        new = PointFiles.open(tmp_path).key
        files = [tmp_path, tmp_path / "points.json", *tmp_path.glob(f"{new}.*")]
        assert key != new and len(files) == 6
        assert {file.stat().st_ino for file in files} <= flushed
        remove(writer, key)

    monkeypatch.setattr(os, "fsync", recorded)
    monkeypatch.setattr(PointWriter, "_remove", checked)
    otad(X[:50], folder=tmp_path)
    assert flushed


def test_an_index_that_cannot_be_kept_is_used_all_the_same(tmp_path):
    def refuses(index, path):
        raise RuntimeError("could not open for writing: Read-only file system")

    search = FaissSearch.__new__(FaissSearch)
    search._index, search._faiss = "index", types.SimpleNamespace(write_index=refuses)
    search._keep(str(tmp_path / "key.FaissSearch.faiss"))
    search._faiss = types.SimpleNamespace(
        write_index=lambda index, path: pathlib.Path(path).write_text(index)
    )
    search._keep(str(tmp_path / "missing" / "key.FaissSearch.faiss"))
    assert list(tmp_path.iterdir()) == []
    search._keep(str(tmp_path / "key.FaissSearch.faiss"))
    assert [file.name for file in tmp_path.iterdir()] == ["key.FaissSearch.faiss"]


def test_an_adapt_that_fails_leaves_what_was_stored(tmp_path):
    model = otad(folder=tmp_path)
    expected = model.predict(QUERIES, verbose=0)
    with pytest.raises(ValueError, match="finite training points"):
        otad(np.vstack([X, np.full((1, 6), np.nan, "float32")]), folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 5
    np.testing.assert_array_equal(model.predict(QUERIES, verbose=0), expected)


@pytest.mark.parametrize("search", [name for name in SEARCHES if name != "exact"])
def test_indices_of_faiss_say_what_they_miss(tmp_path, search):
    pytest.importorskip("faiss")
    exact = otad(folder=tmp_path)
    model = exact.with_search(search)
    found = model.recall(QUERIES)
    true = exact.neighborhoods(QUERIES).indices
    ours = model.neighborhoods(QUERIES).indices
    shares = [np.mean(np.isin(a, b)) for a, b in zip(true, ours)]
    assert found == pytest.approx(np.mean(shares)) and found > 0.3
    assert exact.recall(QUERIES) == 1.0
    if SEARCHES[search].approximate:
        said = f"misses no neighbor.*{search}.*finds {100.0 * found:.1f} %"
        with pytest.raises(ValueError, match=said):
            lipot.certify(model, QUERIES)
    else:
        expected = lipot.certify(exact, QUERIES).radius
        np.testing.assert_allclose(lipot.certify(model, QUERIES).radius, expected, rtol=1e-6)
    # The index is kept beside the points.
    assert len(list(tmp_path.glob("*.faiss"))) == 1


@pytest.mark.slow
def test_several_processes_answer_from_the_same_files(tmp_path):
    model = otad(folder=tmp_path / "stored")
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "queries.npy", QUERIES)
    code = (
        "import sys, json, keras, lipot, numpy as np; folder = sys.argv[1];"
        "model = keras.saving.load_model(folder + '/model.keras');"
        "x = np.load(folder + '/queries.npy');"
        "print(json.dumps(model.predict(x, verbose=0).tolist()))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", code, str(tmp_path)]
    runs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
        for _ in range(2)
    ]
    for run in runs:
        answers = json.loads(run.communicate(timeout=300)[0].splitlines()[-1])
        np.testing.assert_array_equal(np.float32(answers), model.predict(QUERIES, verbose=0))


def test_rows_of_a_file_are_those_asked_for(tmp_path):
    expected = RNG.uniform(size=(9, 3)).astype("float32")
    expected.tofile(tmp_path / "rows")
    rows = FileRows(tmp_path / "rows", expected.shape)
    for wanted in (
        slice(2, 5),
        slice(7, 20),
        slice(20, 30),
        slice(None, None, 4),
        [3],
        [[8, 0], [3, 3]],
    ):
        np.testing.assert_array_equal(rows[wanted], expected[wanted])
    assert len(rows) == 9 and rows[np.empty((0, 2), int)].shape == (0, 2, 3)
    with pytest.raises(IndexError, match="0 to 8"):
        rows[[0, 9]]


@pytest.mark.parametrize("in_files", [False, True])
def test_a_model_around_it_is_loaded_with_the_points(tmp_path, in_files):
    inner = otad(folder=tmp_path / "points" if in_files else None)
    inputs = keras.Input((6,))
    around = keras.Model(inputs, keras.layers.Softmax()(inner(inputs)))
    around.save(tmp_path / "around.keras")
    loaded = keras.saving.load_model(tmp_path / "around.keras", safe_mode=True)
    np.testing.assert_allclose(ops.convert_to_numpy(loaded(QUERIES)), around(QUERIES), atol=1e-6)
