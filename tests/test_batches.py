"""Points are read batch by batch, whatever holds them, and what is wrong with them is said."""

import pathlib
import re
from importlib.util import find_spec

import keras
import numpy as np
import pytest

import lipot
from lipot import backend
from lipot.batches import Points
from lipot.certificates.certificate import prove
from lipot.certificates.features import Place
from lipot.evaluation.run.storage import held, like

RNG = np.random.default_rng(0)
X = RNG.uniform(size=(23, 5)).astype("float32")
Y = np.arange(23) % 3
# The last bits of a product may depend on where in memory a batch lies.
BITS = {"rtol": 1e-6}


class Batches(keras.utils.PyDataset):
    """Batches of growing length; `give` makes each from its rows."""

    def __init__(self, give=lambda rows: (X[rows], Y[rows]), length=6):
        super().__init__()
        self.give, self.length = give, length

    @property
    def num_batches(self):
        return self.length

    def __getitem__(self, index):
        # 0, 1, 3, 6, 10, 15, 21: batches of 1 to 6 points, two points left out.
        start = index * (index + 1) // 2
        return self.give(slice(start, start + index + 1))


def memory_map(folder):
    file = folder / "x.npy"
    np.save(file, X)
    return np.load(file, mmap_mode="r")


def dataset(*parts, size=4):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(parts if len(parts) > 1 else parts[0]).batch(size)


def loader(*parts, **settings):
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(*map(torch.as_tensor, parts))
    return torch.utils.data.DataLoader(data, **{"batch_size": 4, **settings})


def sources(folder):
    """`(x, y, rows)` of every kind of source, and how many rows of X are in it."""
    yield X, Y, 23
    yield memory_map(folder), Y, 23
    if find_spec("tensorflow"):
        yield dataset(X, Y), None, 23
    if find_spec("torch"):
        yield loader(X, Y), None, 23
    yield Batches(), None, 21


def network():
    keras.utils.set_random_seed(0)
    layers = [lipot.layers.SpectralDense(6), lipot.layers.FrobeniusDense(3)]
    return keras.Sequential([keras.Input((5,)), *layers])


@pytest.mark.parametrize("size", [1, 4, 7, 100])
def test_every_source_gives_the_same_batches(size, tmp_path):
    for x, y, rows in sources(tmp_path):
        found = list(Points(x, y).batches(size))
        assert [len(part) for part, _ in found[:-1]] == [size] * ((rows - 1) // size)
        np.testing.assert_array_equal(np.concatenate([part for part, _ in found]), X[:rows])
        np.testing.assert_array_equal(np.concatenate([part for _, part in found]), Y[:rows])


def test_inputs_and_labels_may_have_names():
    named = Batches(lambda rows: ({"image": X[rows]}, {"label": Y[rows]}))
    for (x, y), (expected, labels) in zip(Points(named).batches(4), Points(X, Y).batches(4)):
        np.testing.assert_array_equal(x, expected[: len(x)])
        np.testing.assert_array_equal(y, labels[: len(y)])


def test_certificates_do_not_depend_on_the_source(tmp_path):
    model = network()
    expected = lipot.certify(model, X, Y, batch_size=4)
    for x, y, rows in sources(tmp_path):
        found = lipot.certify(model, x, y, batch_size=4)
        for name in ("predictions", "correct"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name)[:rows])
        for name in ("radius", "rounding"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name)[:rows], **BITS)
    without_labels = lipot.certify(model, dataset(X), batch_size=4)
    assert without_labels.correct is None
    np.testing.assert_allclose(without_labels.radius, expected.radius, **BITS)


def test_many_batches_are_certified_by_a_program_that_changes_nothing(tmp_path, monkeypatch):
    model = network()
    expected = lipot.certify(model, X, Y, batch_size=4)
    compiled, compile_over_batches = [], backend.compile_over_batches

    def counted(*arguments):
        compiled.append(arguments)
        return compile_over_batches(*arguments)

    monkeypatch.setattr(backend, "compile_over_batches", counted)
    monkeypatch.setattr("lipot.certificates.features._COMPILED_FROM", 2)
    whole = lipot.certify(model, X, Y, batch_size=4)
    assert len(compiled) == 1
    np.testing.assert_allclose(whole.radius, expected.radius, rtol=1e-5)
    np.testing.assert_array_equal(whole.predictions, expected.predictions)
    for x, y, rows in sources(tmp_path):
        found = lipot.certify(model, x, y, batch_size=4)
        np.testing.assert_allclose(found.radius, whole.radius[:rows], **BITS)
    # As workers do it: each chunk knows its place, and programs are kept.
    place, parts = Place(), []
    for place.before in range(6):
        rows = slice(4 * place.before, 4 * place.before + 4)
        parts.append(prove(model, X[rows], Y[rows], 4, 2, {}, place).radius)
    np.testing.assert_allclose(np.concatenate(parts), whole.radius, **BITS)
    assert len(compiled) == 2 + len([*sources(tmp_path)])
    # A change of the weights is seen by what is kept.
    model.set_weights([w[::-1] for w in model.get_weights()])
    changed = prove(model, X[8:12], None, 4, 2, {}, place).radius
    fresh = lipot.certify(model, X, batch_size=4).radius[8:12]
    np.testing.assert_allclose(changed, fresh, **BITS)
    assert not np.allclose(changed, whole.radius[8:12])


def test_otad_adapts_answers_and_is_certified_from_every_source(tmp_path, monkeypatch):
    def adapted(x):
        backbone = keras.Sequential([keras.Input((5,)), keras.layers.Rescaling(2.0)])
        head = keras.layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(seed=1))
        return lipot.OTAD(backbone, head, neighbors=4).adapt(x, batch_size=4)

    # Points given twice, in batches of their own, are stored once.
    expected = adapted(np.concatenate([X, X[:7]]))
    assert expected.memory.size == 23
    whole = lipot.certify(expected, X, Y)
    monkeypatch.setattr("lipot.certificates.certificate._CHUNK", 8)
    for x, y, rows in sources(tmp_path):
        model = adapted(x)
        assert model.memory.size == rows
        np.testing.assert_array_equal(model.memory.points, expected.memory.points[:rows])
        np.testing.assert_allclose(
            expected.features(x, batch_size=8), expected.features(X[:rows]), rtol=1e-5
        )
        found = lipot.certify(expected, x, y, batch_size=4)
        np.testing.assert_allclose(found.radius, whole.radius[:rows], rtol=1e-4)
        np.testing.assert_array_equal(found.correct, whole.correct[:rows])
        assert len(found.neighbors.set_radius) == rows


def faulty_sources():
    """`(x, words of the error)`."""
    if find_spec("tensorflow"):
        yield dataset(X, Y).repeat(), "a data set that ends.*repeats without end"
        yield dataset(X[:0], Y[:0]), "at least one point.*none"
    if find_spec("torch"):
        yield loader(X[:0], Y[:0]), "at least one point.*none"
        yield loader(X, Y, batch_size=None), "batches of points.*batch 0 with points of shape"
    yield Batches(length=None), "a data set that ends.*without a length"
    yield Batches(length=0), "at least one point.*none"
    shapes = Batches(lambda rows: (X[rows, : 5 - (rows.start >= 6)], Y[rows]))
    yield shapes, r"points of one shape, \(5,\).*shape \(4,\) from point 6"
    yield (
        Batches(lambda rows: None if rows.start == 6 else (X[rows], Y[rows])),
        "6 batches.*after 3",
    )
    yield (
        Batches(lambda rows: (X[rows], Y[:2])),
        r".*as many labels.*batch 0 .* labels of shape \(2,\)",
    )
    yield (
        Batches(lambda rows: ({"left": X[rows], "right": X[rows]}, Y[rows])),
        r"one array of inputs.*\['left', 'right'\] in batch 0",
    )


def test_every_door_says_what_is_wrong_and_what_was_done_is_kept(tmp_path):
    backbone = keras.Sequential([keras.Input((5,)), keras.layers.Rescaling(2.0)])
    otad = lipot.OTAD(backbone, keras.layers.Dense(3), neighbors=4)
    otad.adapt(X, folder=tmp_path / "points")
    expected = otad.features(X)
    doors = {
        "adapt": lambda x: otad.adapt(x, batch_size=2),
        "adapt in files": lambda x: otad.adapt(x, batch_size=2, folder=tmp_path / "points"),
        "features": lambda x: otad.features(x, batch_size=2),
        "certify": lambda x: lipot.certify(otad, x, batch_size=2),
        "certify a network": lambda x: lipot.certify(network(), x, batch_size=2),
        "evaluate": lambda x: lipot.evaluate(network(), x, None, 2, 0.1, "fgsm", progress=False),
    }
    for use in doors.values():
        for x, words in faulty_sources():
            with pytest.raises(ValueError, match=f"argument `x`. Expected {words}"):
                use(x)
    np.testing.assert_array_equal(otad.features(X), expected)
    # Nothing is left of what was begun.
    assert len(list((tmp_path / "points").iterdir())) == 5


def test_labels_that_come_or_end_with_a_batch_asked_for_are_said():
    for first in (True, False):

        def give(rows, first=first):
            return (X[rows], Y[rows]) if (rows.start == 0) == first else (X[rows],)

        # Each batch of the source is one that is asked for, so that none is joined of both.
        with pytest.raises(ValueError, match="labels in every batch or in none.*both kinds"):
            list(Points(Batches(give, length=2)).batches(1))


def test_a_data_set_brings_its_own_labels():
    with pytest.raises(ValueError, match="argument `y`. Expected None, since a data set"):
        lipot.certify(network(), dataset(X, Y), Y)
    with pytest.raises(ValueError, match="one label for each of the 23 points.*3 labels"):
        Points(X, Y[:3])


def test_an_evaluation_does_not_depend_on_the_source(tmp_path):
    def evaluated(x, y, folder):
        return lipot.evaluate(
            model, x, y, 2, [0.05, 1.0], ["fgsm", "pgd"], batch_size=8, resume=folder,
            clip_values=(0, 1), sanity=False, views=False, progress=False,
        ).evaluations[0]  # fmt: skip

    model = network()
    expected = evaluated(X, Y, tmp_path / "expected")
    assert any(np.any(row >= 0) for row in expected.broken_by.values())
    whole = [(x, y) for x, y, rows in sources(tmp_path) if rows == len(X)]
    for place, (x, y) in enumerate(whole):
        found = evaluated(x, y, tmp_path / f"{place}")
        assert found.settings == expected.settings
        for eps in expected.eps:
            np.testing.assert_array_equal(found.broken_by[eps], expected.broken_by[eps])
        np.testing.assert_array_equal(found.certified_radius, expected.certified_radius)


def test_a_memory_map_is_never_read_as_a_whole(tmp_path):
    """A map of 400 MB, of another type than float32, is evaluated in a fraction of that."""
    tracemalloc = pytest.importorskip("tracemalloc")
    file = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", "uint8", (50_000, 4000))
    file[:] = 128
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4000,)), lipot.layers.FrobeniusDense(2)])
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    tracemalloc.start()
    certificate = lipot.certify(model, x, batch_size=512)
    points, _ = held(x, None)
    tiled = like(points, 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(certificate) == len(points) == tiled.shape[1] == 50_000
    assert float(tiled[1, -1, -1]) == 128.0
    assert peak < 200e6


@pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="Linux counts pages.")
@pytest.mark.parametrize(
    "view", [lambda x: x, np.asarray, lambda x: x[10:]], ids=["map", "array", "slice"]
)
def test_pages_of_a_memory_map_do_not_stay(view, tmp_path):
    def mapped():
        status = pathlib.Path("/proc/self/status").read_text()
        return int(re.search(r"RssFile:\s*(\d+) kB", status)[1]) / 1024

    np.save(tmp_path / "x.npy", np.ones((2000, 5000), "float32"))
    x = view(np.load(tmp_path / "x.npy", mmap_mode="r"))
    before = mapped()
    read = sum(float(batch.sum()) for batch, _ in Points(x).batches(100))
    assert read == x.size
    assert mapped() < before + 10.0
