import json
import re
import zipfile

import keras
import numpy as np
import pytest

from lipot import cli, datasets
from lipot.evaluation import RobustnessReport
from lipot_cli.options import RADII


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two saved networks, points to attack, and the report of the first network."""
    folder = tmp_path_factory.mktemp("evaluated")
    data = datasets.load("digits")
    for name, width in (("small", 8), ("wide", 32)):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Flatten(),
                keras.layers.Dense(width, "relu"),
                keras.layers.Dense(10),
            ]
        )
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(data.x_train, data.y_train, epochs=3, verbose=0)
        model.save(folder / f"{name}.keras")
        _evaluate(folder, name)
    return folder


def _evaluate(folder, name):
    np.savez(folder / "points.npz", **_points(30))
    arguments = [str(folder / f"{name}.keras"), str(folder / "points.npz"), "--eps", "0.1", "0.3"]
    arguments += ["--attacks", "fgsm", "pgd", "--out", str(folder / f"{name}.html"), "--no-sanity"]
    arguments += ["--note", "training", "none at all"]
    assert cli.main(["evaluate", *arguments, "--json", str(folder / f"{name}.json")]) == 0


def _points(count):
    data = datasets.load("digits")
    return {"x": data.x_test[:count], "y": data.y_test[:count]}


def test_evaluate_writes_a_page_and_the_data_behind_it(folder):
    report = RobustnessReport.from_json(folder / "small.json")
    (evaluation,) = report.evaluations
    assert evaluation.name == "small" and evaluation.norm == 2 and evaluation.eps == (0.1, 0.3)
    assert evaluation.attacks == ("fgsm", "pgd") and len(evaluation) == 30
    model = keras.saving.load_model(folder / "small.keras")
    points = _points(30)
    right = model.predict(points["x"], verbose=0).argmax(axis=1) == points["y"]
    assert evaluation.clean_accuracy == np.mean(right)
    assert (folder / "small.html").read_text() == RobustnessReport([evaluation]).save_html(
        folder / "again.html"
    ).read_text()


def test_report_puts_stored_evaluations_on_one_page(folder, capsys):
    files = [str(folder / f"{name}.json") for name in ("small", "wide")]
    out = folder / "both.html"
    assert cli.main(["report", *files, "--out", str(out), "--table", "markdown"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("eps: l2 distance, inputs from 0 to 1; ") and shown.rstrip().endswith(
        f"Page: {out}"
    )
    text = out.read_text()
    assert "Robustness of small and wide" in text
    assert "Leaderboard at 0.3 in l2" in text and text.count("none at all") == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "missing.json"], "There is no file missing.json. Expected a report that"),
        (["report", "sub.html"], "sub.html is a folder. Expected a report that"),
        (["report", "notes.json"], "Expected a report written by"),
        (["evaluate", "missing.keras", "digits"], "There is no file missing.keras"),
        (["evaluate", "small.keras", "missing.npz"], "There is no file missing.npz"),
        (["evaluate", "small.keras", "two_moons"], "Expected inputs of shape (8, 8, 1)"),
        (["report", "half.json"], "Expected a whole report"),
        (
            ["report", "small.json", "--out", "small.json/page.html"],
            "--out must be a file that can",
        ),
        (
            ["evaluate", "small.keras", "digits", "--out", "sub.html"],
            "--out must be a file that can",
        ),
        (["evaluate", "small.keras", "notes.json"], "notes.json is no .npz file"),
        (["evaluate", "small.keras", "flipped.npz"], "flipped.npz is no .npz file, or a damaged"),
        (["report", "numbers.npz"], "Expected a report written by"),
        (["evaluate", "small.keras", "numbers.npz"], "but single numbers"),
        (
            ["evaluate", "small.keras", "digits", "--outputs", "probabilities"],
            "Expected 'logits': 'sequential",
        ),
        (["evaluate", "small.keras", "objects.npz"], "objects.npz holds Python objects under 'y'"),
        (["evaluate", "small.keras", "centered.npz"], "such as --range -0.5 0.5"),
        (["evaluate", "empty.keras", "digits"], "empty.keras is no model that `model.save` wrote"),
    ],
)
def test_errors_are_one_line(folder, arguments, message, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "notes.json").write_text(json.dumps({"shopping": ["milk"]}))
    (folder / "half.json").write_text(json.dumps({"format": 1, "evaluations": [{}]}))
    (folder / "sub.html").mkdir(exist_ok=True)
    np.savez(folder / "numbers.npz", x=0.5, y=1)
    np.savez(folder / "objects.npz", x=np.zeros((2, 3)), y=np.array([1, "one"], object))
    centered = _points(30)["x"] - 0.5
    np.savez(folder / "centered.npz", x=centered, y=np.zeros(30, int))
    whole = (folder / "centered.npz").read_bytes()
    (folder / "flipped.npz").write_bytes(whole[:300] + bytes(100) + whole[400:])
    zipfile.ZipFile(folder / "empty.keras", "w").close()
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("lipot: error: ") and error.count("\n") == 1
    assert message in error


def test_names_of_norms_and_labels_off_by_one(folder, tmp_path, capsys):
    x = _points(60)["x"]
    model = keras.saving.load_model(folder / "small.keras")
    answers = model.predict(x, verbose=0).argmax(axis=1)
    few = answers < 9
    np.savez(tmp_path / "shifted.npz", x=x[few], y=answers[few] + 1)
    arguments = [str(folder / "small.keras"), str(tmp_path / "shifted.npz"), "--no-sanity"]
    arguments += ["--norm", "Linf", "--eps", "0.1", "--attacks", "fgsm", "--json"]
    arguments += [str(tmp_path / "found.json"), "--out", str(tmp_path / "found.html")]
    assert cli.main(["evaluate", *arguments]) == 0
    assert "would be if every label were one lower" in capsys.readouterr().out
    (found,) = RobustnessReport.from_json(tmp_path / "found.json").evaluations
    assert found.norm == "inf" and found.attacks == ("fgsm",)


@pytest.mark.parametrize(("name", "norm"), [("2", 2), ("linf", "inf")])
def test_radii_left_out_are_those_of_the_norm(folder, tmp_path, name, norm):
    arguments = [str(folder / "small.keras"), str(folder / "points.npz"), "--norm", name]
    arguments += ["--limit", "4", "--attacks", "fgsm", "--no-sanity"]
    arguments += ["--json", str(tmp_path / "found.json"), "--out", str(tmp_path / "found.html")]
    assert cli.main(["evaluate", *arguments]) == 0
    (found,) = RobustnessReport.from_json(tmp_path / "found.json").evaluations
    assert found.norm == norm and found.eps == RADII[norm]


def test_a_network_for_images_of_any_size_is_evaluated(tmp_path, capsys):
    layers = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)]
    keras.Sequential([keras.Input((None, None, 1)), *layers]).save(tmp_path / "any.keras")
    np.savez(tmp_path / "points.npz", **_points(4))
    arguments = [str(tmp_path / name) for name in ("any.keras", "points.npz")]
    arguments += ["--eps", "0.1", "--attacks", "fgsm", "--no-sanity"]
    assert cli.main(["evaluate", *arguments, "--out", str(tmp_path / "any.html")]) == 0
    assert "any" in capsys.readouterr().out


def test_points_without_a_range_are_asked_for_one(tmp_path, capsys):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.save(tmp_path / "plane.keras")
    assert cli.main(["evaluate", str(tmp_path / "plane.keras"), "two_moons"]) == 1
    x = datasets.load("two_moons").x_test
    low, high = re.search(r"--range (-1\S*) (\S+)$", capsys.readouterr().err).groups()
    assert (np.float32(low), np.float32(high)) == (x.min(), x.max())


def test_train_says_what_is_proven_of_otad(tmp_path, capsys, monkeypatch):
    data = datasets.load("digits")
    few = data._replace(x_train=data.x_train[:100], y_train=data.y_train[:100])
    monkeypatch.setattr(datasets, "load", lambda name, seed=0: few)
    out = str(tmp_path / "otad.keras")
    assert cli.main(["train", "--method", "otad", "--epochs", "1", "--out", out]) == 0
    shown = capsys.readouterr().out
    assert "360 test points" in shown and "nothing within the radius can break" in shown
    assert cli.main(["certify", out, "digits", "--limit", "5"]) == 0
