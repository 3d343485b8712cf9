"""Several models in one report."""

import keras
import numpy as np
import pytest

import lipot

X = np.random.default_rng(0).uniform(size=(8, 3)).astype("float32")
Y = np.arange(8) % 2
SETTINGS = {"norm": 2, "eps": 0.1, "attacks": ["fgsm"]}
QUIET = {"sanity": False, "views": False, "progress": False, "clip_values": (0, 1)}


def network(name="net"):
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name=name)


def test_models_and_reports(tmp_path):
    models = [network(), network(), network("other")]
    together = lipot.compare(models, X, Y, resume=tmp_path, **SETTINGS, **QUIET)
    assert together.table()["model"].tolist() == ["net (1)", "net (2)", "other"]
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["00", "01", "02"]
    alone = [lipot.evaluate(model, X, Y, **SETTINGS, **QUIET) for model in models]
    joined = lipot.compare(alone)
    assert joined.table()["robust"].tolist() == together.table()["robust"].tolist()
    assert joined.table()["model"].tolist() == together.table()["model"].tolist()


class InOneBatch(keras.utils.PyDataset):
    passes = 0

    def __len__(self):
        return 1

    def __getitem__(self, _):
        # As one that shuffles: another order in every pass.
        self.passes += 1
        return np.roll(X, self.passes, axis=0), np.roll(Y, self.passes)


def test_a_data_set_brings_the_points_and_labels_of_all_models():
    together = lipot.compare([network(), network()], InOneBatch(), **SETTINGS, **QUIET)
    assert [list(found.labels) for found in together.evaluations] == [np.roll(Y, 1).tolist()] * 2


def test_names_of_reports_are_told_apart_within_a_norm():
    model = network()
    first, third = (
        lipot.evaluate(model, X, Y, norm, 0.1, ["fgsm"], name="net", **QUIET) for norm in (2, "inf")
    )
    second = lipot.compare([first, first])
    assert [e.name for e in second.evaluations] == ["net (1)", "net (2)"]
    assert [e.name for e in first.evaluations] == ["net"]
    names = lipot.compare([first, third, second, first]).table()["model"].tolist()
    assert names == ["net (3)", "net", "net (1)", "net (2)", "net (4)"]


def test_other_points_cannot_be_compared():
    reports = [lipot.evaluate(network(), x, Y, **SETTINGS, **QUIET) for x in (X, 1 - X)]
    with pytest.raises(ValueError, match="Expected reports on the same points"):
        lipot.compare(reports)


def test_what_cannot_be_compared():
    with pytest.raises(ValueError, match="`models`. Expected reports"):
        lipot.compare([])
    with pytest.raises(ValueError, match="Expected all reports or all models"):
        lipot.compare([network(), "report"], X, Y, **SETTINGS)
    with pytest.raises(ValueError, match="`name`. Expected none.* keys of a dictionary"):
        lipot.compare([network()], X, Y, **SETTINGS, name="net")
    with pytest.raises(ValueError, match="Expected x, y, norm, eps as well"):
        lipot.compare([network()])
