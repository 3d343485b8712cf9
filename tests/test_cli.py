import contextlib
import io
import pathlib
import runpy
import sys

import keras
import numpy as np
import pandas
import pytest

from lipot import certify, cli, datasets, demo, recipes
from lipot.demo import measure, training
from lipot.evaluation.page.views.counterfactual import step_across
from lipot.interop import art
from lipot_cli.points import labels_hint

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
    return {float(row[1].strip(" >")): float(row[2].strip(" %")) / 100 for row in rows}


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


def test_certify_of_a_model_of_open_size(tmp_path, capsys):
    images = keras.Input((None, None, 1))
    x = keras.layers.Conv2DTranspose(4, 3, activation="relu")(images)
    logits = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x))
    keras.Model(images, logits).save(tmp_path / "open.keras")
    x = np.random.default_rng(0).random((8, 8, 8, 1), "float32")
    np.savez(tmp_path / "open.npz", x=x, y=np.zeros(8, int))
    words = ["certify", str(tmp_path / "open.keras"), str(tmp_path / "open.npz")]
    assert cli.main([*words, "--out", str(tmp_path / "radii.csv")]) == 0
    shown = capsys.readouterr().out
    # The constant of a transposed convolution depends on the size, which the points alone tell.
    assert "Lipschitz constant" not in shown and "> 0" in shown
    assert len(pandas.read_csv(tmp_path / "radii.csv")) == 8


def test_certify_keeps_the_radius_of_each_point(saved, tmp_path, capsys):
    file = tmp_path / "made" / "radii.csv"
    command = ["certify", str(saved[0]), "digits", "--limit", "40", "--out", str(file)]
    assert cli.main(command) == 0
    assert f"Radii: {file}" in capsys.readouterr().out
    data = datasets.load("digits")
    expected = certify(keras.saving.load_model(saved[0]), data.x_test[:40], data.y_test[:40])
    found = pandas.read_csv(file, index_col="point")
    np.testing.assert_array_equal(found["radius"], expected.radius)
    np.testing.assert_array_equal(found["prediction"], expected.predictions)
    np.testing.assert_array_equal(found["correct"], expected.correct)
    assert cli.main([*command[:-1], str(tmp_path / "radii.json")]) == 2
    assert "--out must end in .csv" in capsys.readouterr().err


def test_certify_can_be_limited_to_the_first_points(saved, capsys):
    assert cli.main(["certify", str(saved[0]), "digits", "--limit", "7", "--eps", "1/255"]) == 0
    shown = capsys.readouterr().out
    assert "7 points" in shown and "│     1/255 │" in shown


def test_labels_that_count_from_one_are_noticed(saved, tmp_path, capsys):
    data = datasets.load("digits")
    few = data.y_test < 9
    for name, shift in (("right", 0), ("shifted", 1)):
        np.savez(tmp_path / f"{name}.npz", x=data.x_test[few], y=data.y_test[few] + shift)
        assert cli.main(["certify", str(saved[0]), str(tmp_path / f"{name}.npz")]) == 0
        hint = "would be if every label were one lower"
        assert (hint in capsys.readouterr().out) == (name == "shifted")


def test_a_hint_needs_labels_that_are_worse_than_chance_and_right_once_shifted():
    truth = np.arange(60) % 5
    assert labels_hint(truth, truth) is None
    assert "one lower" in labels_hint(truth, (truth + 1)[:, None])
    assert "one higher" in labels_hint(truth, (truth - 1) % 5)
    assert "one higher" in labels_hint(truth, np.eye(5)[(truth - 1) % 5])
    assert "the other one" in labels_hint(truth % 2, 1 - truth % 2)
    assert "the other one" in labels_hint(truth % 2, 1 - 2 * (truth % 2))
    # A model that is merely bad, and labels in an order of their own.
    assert labels_hint(np.zeros(60, int), truth) is None
    # Three of four are right by chance once in ten times.
    assert labels_hint(np.array([0, 1, 2, 2]), np.array([1, 2, 0, 1])) is None
    assert labels_hint(np.array([0, 1] * 5), np.array([0, 1] * 2 + [1, 0] * 3)) is None
    assert labels_hint(truth, truth[::-1]) is None


def test_where_nothing_is_proven_no_table_contradicts_the_accuracy(tmp_path, capsys):
    # Constants of 1e9 each, in different directions: rounding takes what their product leaves.
    layers = [keras.layers.Dense(2, activation="relu"), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((2,)), *layers])
    for layer, steep in zip(layers, ([1.0, 1e9], [1e9, 1.0])):
        layer.set_weights([np.diag(steep), np.zeros(2)])
    model.save(tmp_path / "steep.keras")
    x = np.eye(2, dtype="float32")[[0, 1] * 5]
    np.savez(tmp_path / "points.npz", x=x, y=[0, 1] * 5)
    assert cli.main(["certify", str(tmp_path / "steep.keras"), str(tmp_path / "points.npz")]) == 0
    shown = capsys.readouterr().out
    assert "Accuracy on 10 points: 100.00 %" in shown
    assert "Nothing is proven" in shown and "0.00 %" not in shown.replace("100.00 %", "")


def test_certify_takes_a_preset(capsys):
    assert cli.main(["certify", "preset:digits-hkr", "digits", "--limit", "20"]) == 0
    assert "Proven accuracy" in capsys.readouterr().out
    assert cli.main(["certify", "preset:none", "digits"]) == 1
    _assert_one_line(capsys.readouterr().err, "There is no preset:none. Expected one of: digits")


def test_certify_takes_pixels_where_the_model_scales_them(tmp_path, capsys):
    scaled = keras.Sequential(
        [keras.Input((2,)), keras.layers.Rescaling(1 / 255), keras.layers.Dense(2)]
    )
    scaled.layers[-1].set_weights([np.eye(2), np.zeros(2)])
    scaled.save(tmp_path / "scaled.keras")
    pixels = np.array([[255, 0], [0, 200]], "uint8")
    np.savez(tmp_path / "pixels.npz", x=pixels, y=[0, 1])
    np.savez(tmp_path / "unit.npz", x=pixels / 255.0, y=[0, 1])
    arguments = ["certify", str(tmp_path / "scaled.keras")]
    assert cli.main([*arguments, str(tmp_path / "pixels.npz"), "--eps", "150"]) == 0
    # 255 / sqrt(2) = 180 and 200 / sqrt(2) = 141; 1 - 0.975 ** (1 / 2) = 1.26 %.
    shown = capsys.readouterr().out
    assert "50.00 %" in shown and "[1.26, 98.74]" in shown
    assert cli.main([*arguments, str(tmp_path / "unit.npz")]) == 1
    _assert_one_line(capsys.readouterr().err, "do not fit the model's own preprocessing")


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
        (["certify", "text.keras", "digits"], "text.keras is no model, or a damaged one."),
        (["certify", "cut.keras", "digits"], "cut.keras is no model, or a damaged one."),
        (["certify", "flipped.keras", "digits"], "flipped.keras is no model that"),
        (["certify", "points.npz", "digits"], "points.npz is no model, or a damaged one."),
        (["certify", "a.weights.h5", "digits"], "a.weights.h5 holds weights alone."),
        (["certify", "digits-hkr", "digits"], "no file digits-hkr. Expected a model"),
        (["certify", "digits-hkr", "digits"], "or preset:digits-hkr"),
        (["certify", "points.npz", "flipped.keras"], "Expected the model first, and the points"),
        (["certify", ".", "digits"], ". is a folder. Expected a model"),
        (["certify", "text.keras", "."], ". is a folder. Expected an .npz file"),
        (["evaluate", "m", "digits", "--resume", "text.keras"], "--resume must be a folder"),
        (["demo", "--out", "text.keras/demo"], "--out must be a folder"),
        (["train", "--out", "taken.keras"], "must be a folder, or free to become one"),
        (["train", "--data", "wine", "--epochs", "1"], "`wine` is a regression"),
        (
            ["train", "--data", "missing.npz"],
            "no file missing.npz. Expected an .npz file, or one of",
        ),
    ],
)
def test_errors_are_one_line(saved, arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    whole = saved[0].read_bytes()
    (tmp_path / "text.keras").write_text("no archive")
    (tmp_path / "taken.training").write_text("no folder")
    (tmp_path / "a.weights.h5").write_bytes(b"")
    np.savez(tmp_path / "points.npz", x=np.zeros((2, 4)), y=[0, 1])
    (tmp_path / "cut.keras").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "flipped.keras").write_bytes(whole[:300] + bytes(200) + whole[500:])
    table = np.random.default_rng(0).normal(size=(10, 11)).astype("float32")
    wine = datasets.Dataset(table, table[:, 0], table, table[:, 0], "wine")
    monkeypatch.setitem(datasets.registry.SOURCES, "wine", lambda seed: wine)
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
    # A default is shown as it would be typed.
    assert "default: [" not in " ".join(shown.split())


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
    assert "Robustness of 1-Lipschitz and stock Keras" in (folder / "report.html").read_text()


def test_no_check_tells_a_newcomer_to_distrust_the_demo(tmp_path):
    page = (demo.run(tmp_path) / "report.html").read_text()
    assert "8 of 8 sanity checks passed" in page
    assert "Do not rely on" not in page


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


@pytest.mark.parametrize("command", ["certify", "evaluate", "report"])
def test_help_shows_the_defaults_that_say_something(command, capsys):
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "default: None" not in shown and "default: False" not in shown
    assert "(default: " in shown


def test_help_shows_a_default_of_zero(capsys):
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "--help"])
    assert "of everything random (default: 0)" in " ".join(capsys.readouterr().out.split())
