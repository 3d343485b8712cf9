import contextlib
import io
import pathlib
import runpy
import sys

import keras
import numpy as np
import pytest

from lipot import certify, cli, datasets, demo, recipes
from lipot.demo import measure, training
from lipot.evaluation.views.counterfactual import step_across
from lipot.interop import art

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A network that `lipot train` left behind, and what the command printed."""
    file = tmp_path_factory.mktemp("trained") / "deep" / "digits.keras"
    with contextlib.redirect_stdout(io.StringIO()) as output:
        assert cli.main(["train", "--epochs", "3", "--out", str(file)]) == 0
    return file, output.getvalue()


def _certified(output):
    """Reads radius and accuracy back from the printed table."""
    rows = [line.split("│") for line in output.splitlines() if line.startswith("│")]
    return {float(row[1]): float(row[2].strip(" %")) / 100 for row in rows}


def test_train_saves_a_model_and_prints_what_is_proven_of_it(saved):
    file, output = saved
    data = datasets.load("digits")
    model = keras.saving.load_model(file)
    certificate = certify(model, data.x_test, data.y_test)
    for radius, accuracy in _certified(output).items():
        assert abs(certificate.accuracy(radius) - accuracy) < 1e-4
    assert certificate.accuracy(0.25) > 0.3


def test_certify_reads_files_and_names(saved, tmp_path, capsys):
    data = datasets.load("digits")
    np.savez(tmp_path / "digits.npz", x_test=data.x_test, y_test=data.y_test)
    assert cli.main(["certify", str(saved[0]), str(tmp_path / "digits.npz"), "--eps", "0.1"]) == 0
    from_file = capsys.readouterr().out
    assert cli.main(["certify", str(saved[0]), "digits", "--eps", "0.1"]) == 0
    assert capsys.readouterr().out == from_file
    assert set(_certified(from_file)) == {0.0, 0.1}


def test_certify_can_be_limited_to_the_first_points(saved, capsys):
    assert cli.main(["certify", str(saved[0]), "digits", "--limit", "7"]) == 0
    assert "7 points" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((2, 8, 8, 1), "uint8"), "y": np.zeros(2, "int32")}, "Received: uint8"),
        ({"x": np.zeros((2, 8, 8)), "y": np.zeros(2, "int32")}, r"shape \(8, 8, 1\). Received"),
        ({"pixels": np.zeros(3)}, "arrays x and y, or x_test and y_test. Received: pixels"),
        ({"x": np.full((2, 8, 8, 1), np.nan), "y": np.zeros(2, "int32")}, "x"),
        ({"x": np.zeros((2, 8, 8, 1)), "y": np.zeros(3, "int32")}, "y"),
    ],
)
def test_certify_explains_bad_data_on_one_line(saved, tmp_path, capsys, arrays, message):
    np.savez(tmp_path / "data.npz", **arrays)
    assert cli.main(["certify", str(saved[0]), str(tmp_path / "data.npz")]) == 1
    _assert_one_line(capsys.readouterr().err, message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["certify", "missing.keras", "digits"], "missing.keras"),
        (["certify", "missing.keras", "missing.npz"], "no file missing.npz"),
        (["train", "--data", "wine", "--epochs", "1"], "`wine` is a regression"),
        (["train", "--out", "model.h5"], "must end in .keras. Received: model.h5"),
        (["train", "--alpha", "-1"], "`alpha`"),
    ],
)
def test_errors_are_one_line(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    table = np.random.default_rng(0).normal(size=(10, 11)).astype("float32")
    wine = datasets.Dataset(table, table[:, 0], table, table[:, 0], "wine")
    monkeypatch.setitem(datasets._LOADERS, "wine", lambda seed: wine)
    assert cli.main(arguments) == 1
    _assert_one_line(capsys.readouterr().err, message)


def _assert_one_line(text, message):
    assert text.startswith("lipot: error: ") and text.count("\n") == 1
    assert message.replace("\\", "") in text


@pytest.mark.parametrize(
    "arguments", [[], ["demo"], ["train"], ["certify"], ["evaluate"], ["report"]]
)
def test_help_explains_each_command(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([*arguments, "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: lipot") and len(shown.splitlines()) > 5


@pytest.mark.parametrize("arguments", [[], ["fly"], ["train", "--epochs", "0"]])
def test_misuse_exits_with_two(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2


def test_demo_leaves_page_and_figures_and_says_where(tmp_path, capsys):
    settings = demo.Settings(
        epochs=1, moons_epochs=1, eps=(0.5,), points=20, attacks=["fgsm"], sanity=False
    )
    folder = demo.run(tmp_path / "report", settings)
    assert sorted(file.name for file in folder.iterdir()) == [
        "accuracy.png",
        "counterfactuals.png",
        "report.html",
        "two-moons.png",
    ]
    assert capsys.readouterr().out.rstrip().endswith(f"{folder}/report.html")
    assert "Robustness of stock Keras and 1-Lipschitz" in (folder / "report.html").read_text()


def test_counterfactuals_lie_beyond_the_certified_radius(saved):
    data = datasets.load("digits")
    model = keras.saving.load_model(saved[0])
    x = data.x_test[:100]
    radius = certify(model, x).radius
    found = step_across(art.classifier(model), x)
    crossed = found.before != found.after
    step = np.linalg.norm((found.moved - x).reshape(100, -1), axis=1)
    assert np.mean(crossed) > 0.5
    assert np.all(step[crossed] >= radius[crossed])


def test_decision_map_holds_the_network_at_each_point_of_the_grid():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.set_weights([np.array([[2.0], [-3.0]]), np.array([0.5])])
    grid = measure.decision_map(model, np.array([[0.0, -1.0], [4.0, 1.0]]), size=5, border=1.0)
    np.testing.assert_allclose(grid.x, [-1.0, 0.5, 2.0, 3.5, 5.0])
    expected = 2.0 * grid.x[None, :] - 3.0 * grid.y[:, None] + 0.5
    np.testing.assert_allclose(grid.values, expected, rtol=1e-5)


def test_a_recipe_learns_points_of_the_plane():
    data = datasets.load("two_moons")
    model = recipes.train_hkr(data, epochs=2)
    assert model.evaluate(data.x_test, data.y_test_onehot, verbose=0)[1] > 0.8


def test_the_stock_twin_has_the_widths_of_the_1_lipschitz_network():
    data = datasets.load("digits")._replace(
        x_train=np.zeros((2, 8, 8, 1), "float32"), y_train=np.zeros(2, "int32")
    )
    twin = training.train_stock_twin(data, epochs=1, callbacks=[])
    model = recipes.hkr_network((8, 8, 1), 10)

    def kernels(network):
        return [layer.kernel.shape for layer in network.layers if hasattr(layer, "kernel")]

    assert kernels(twin) == kernels(model)


@pytest.mark.parametrize("name", ["hkr_two_moons", "hkr_digits"])
def test_examples_run(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--epochs", "1"])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert "proven" in capsys.readouterr().out
    assert len(list(tmp_path.iterdir())) == 1
