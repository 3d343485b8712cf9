"""`lipot train`: from files, killed and resumed, and by the method that finds its settings."""

import inspect
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import types

# Its import closes the streams of all log handlers: in a test that would be what pytest captures.
import art  # noqa: F401
import keras
import numpy as np
import pytest

from lipot import certify, cli, datasets, recipes
from lipot.math.proportions import confidence_interval
from lipot.recipes.progress import locked
from lipot_cli import train
from lipot_cli.training_data import parts_at_random, read_dataset

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def few(tmp_path):
    """A file with some digits."""
    data, file = datasets.load("digits"), tmp_path / "few.npz"
    np.savez(
        file,
        x_train=data.x_train[:256],
        y_train=data.y_train[:256],
        x_test=data.x_test[:60],
        y_test=data.y_test_onehot[:60].argmax(axis=1),
    )
    return str(file)


def test_a_killed_training_goes_on_after_its_last_epoch(tmp_path, capsys):
    # Vectors, whose network compiles in half the time.
    rng, out = np.random.default_rng(0), tmp_path / "model.keras"
    np.savez(tmp_path / "few.npz", x=rng.normal(size=(320, 8)), y=np.arange(320) % 3)
    words = ["train", "--data", str(tmp_path / "few.npz"), "--epochs", "6", "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "lipot_cli", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert any(line.startswith("Epoch 3/") for line in process.stdout)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert cli.main(words) == 1
    error = capsys.readouterr().err
    kept = int(re.search(r"stopped after epoch (\d+). Add --resume", error).group(1))
    assert kept >= 2
    assert cli.main([*words, "--seed", "1", "--resume"]) == 1
    # Another split of the file too.
    assert "other seed, points (seed there: 0; here: 1)" in capsys.readouterr().err
    whole = (tmp_path / "few.npz").read_bytes()
    np.savez(tmp_path / "few.npz", x=rng.normal(size=(320, 8)), y=np.arange(320) % 3)
    assert cli.main([*words, "--resume"]) == 1
    assert "other points (points there: " in capsys.readouterr().err
    (tmp_path / "few.npz").write_bytes(whole)
    assert cli.main([*words, "--resume"]) == 0
    shown = capsys.readouterr().out
    begun = [int(number) for number in re.findall(r"^Epoch (\d+)/6", shown, flags=re.MULTILINE)]
    assert begun == list(range(kept + 1, 7))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few.npz", "model.keras"]


def test_a_second_training_into_one_file_is_refused(tmp_path, few, capsys):
    out = tmp_path / "model.keras"
    words = ["train", "--data", few, "--epochs", "1", "--out", str(out)]
    with locked(out.with_suffix(".training")):
        assert cli.main(words) == 1
        error = capsys.readouterr().err
        assert f"is in use by a training that still runs, process {os.getpid()}." in error
        assert out.with_suffix(".training").exists()
    assert cli.main(words) == 0
    assert not out.with_suffix(".training").exists()


@pytest.mark.slow
def test_more_devices_than_there_are_is_said(tmp_path, few, capsys):
    words = ["train", "--data", few, "--devices", "64", "--out", str(tmp_path / "model.keras")]
    assert cli.main(words) == 1
    assert "argument `devices`. Expected" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [pathlib.Path(few)]


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's")
def test_two_devices_train_as_one(tmp_path, few):
    code = (
        "import sys, tensorflow as tf\n"
        "device = tf.config.LogicalDeviceConfiguration()\n"
        "cpu = tf.config.list_physical_devices('CPU')[0]\n"
        "tf.config.set_logical_device_configuration(cpu, [device] * 2)\n"
        "from lipot import cli\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
    }
    weights = []
    for count in (1, 2):
        out = str(tmp_path / f"{count}.keras")
        words = ["train", "--data", few, "--epochs", "1", "--devices", str(count), "--out", out]
        subprocess.run([sys.executable, "-c", code, *words], env=environment, check=True)
        weights.append(keras.saving.load_model(out).get_weights())
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_the_certified_method_says_how_sure_its_figure_is(tmp_path, few, capsys):
    out = tmp_path / "deep" / "model.keras"
    words = ["--eps", "0.3", "--minutes", "0.2", "--data", few, "--out", str(out)]
    assert cli.main(["train", "--method", "certified", *words]) == 0
    shown = capsys.readouterr().out
    # Too short for a search.
    assert "Rung 1" not in shown and "convolution, margin, sharpness 6, rate 0.002" in shown
    found = re.search(
        r"Certified at l2 0.3: ([\d.]+) %, 95 % confidence interval \[([\d.]+), ([\d.]+)\]",
        shown,
    )
    data, model = read_dataset(few), keras.saving.load_model(out, safe_mode=True)
    share = certify(model, data.x_test, data.y_test).accuracy(0.3)
    interval = confidence_interval(round(60 * share), 60)
    expected = [100 * share, 100 * interval.low, 100 * interval.high]
    np.testing.assert_allclose([float(text) for text in found.groups()], expected, atol=0.006)
    assert [path.name for path in out.parent.iterdir()] == ["model.keras"]


def test_the_hint_at_the_end_can_be_typed_as_it_is(tmp_path, capsys):
    out = str(tmp_path / "my moons.keras")
    assert cli.main(["train", "--data", "two_moons", "--epochs", "1", "--out", out]) == 0
    (hint,) = re.findall("^How robust it is: lipot (.+)$", capsys.readouterr().out, re.MULTILINE)
    words = shlex.split(hint)
    assert words[:3] == ["evaluate", out, "two_moons"]
    words += ["--limit", "8", "--eps", "0.1", "--attacks", "fgsm", "--no-sanity"]
    assert cli.main([*words, "--out", str(tmp_path / "page.html")]) == 0


@pytest.mark.parametrize(
    ("shape", "high", "range_", "said"),
    [
        ((8, 8, 1), 0.9, (0.0, 1.0), ""),
        ((8, 8, 1), 255.0, None, " --range 0 255"),
        ((8,), 0.9, None, " --range 0 0.9"),
    ],
)
def test_attacks_may_use_all_of_the_range_of_images(shape, high, range_, said, tmp_path):
    # Their own values would be less than that.
    x = np.linspace(0.0, high, 20 * np.prod(shape), dtype="float32").reshape(20, *shape)
    file = str(tmp_path / "own.npz")
    np.savez(file, x_train=x, y_train=np.arange(20) % 2, x_test=x, y_test=np.arange(20) % 2)
    data = read_dataset(file)
    assert data.clip_values == range_
    options = types.SimpleNamespace(out="own.keras", data="own.npz", method="hkr")
    hint = train._evaluation(options, data)
    assert hint == f"How robust it is: lipot evaluate own.keras own.npz{said}"


def test_devices_that_cannot_share_a_batch_are_refused(few, tmp_path, capsys):
    words = ["train", "--data", few, "--devices", "3", "--out", str(tmp_path / "model.keras")]
    assert cli.main(words) == 2
    assert "--devices 3 cannot share the batches of 64" in capsys.readouterr().err
    assert cli.main([*words, "--batch-size", "100"]) == 2
    assert "--devices 3 cannot share the batches of 100" in capsys.readouterr().err


def test_batch_size_and_rate_reach_the_training(tmp_path, few, capsys):
    out = str(tmp_path / "model.keras")
    words = ["train", "--data", few, "--epochs", "1", "--batch-size", "128", "--out", out]
    assert cli.main([*words, "--learning-rate", "0.5"]) == 0
    assert re.search(r"^2/2 - ", capsys.readouterr().out, re.MULTILINE)
    schedule = keras.saving.load_model(out).optimizer.get_config()["learning_rate"]
    assert schedule["config"]["initial_learning_rate"] == 0.5


@pytest.mark.parametrize("method", recipes.METHODS)
def test_every_method_takes_a_batch_size_and_a_rate_but_one_that_finds_it(method):
    known = inspect.signature(recipes.METHODS[method]).parameters
    assert "batch_size" in known
    assert ("learning_rate" in known) == (method != "certified")


def test_data_of_a_file_keep_their_split_or_are_split(tmp_path, few):
    data = read_dataset(few)
    assert (data.x_train.shape, data.x_test.shape) == ((256, 8, 8, 1), (60, 8, 8, 1))
    assert (data.name, len(data.classes), data.y_test.dtype) == ("few", 10, "int32")
    x = np.arange(20.0)[:, None]
    np.savez(tmp_path / "whole.npz", x=x, y=np.eye(2)[np.arange(20) % 2])
    data = read_dataset(str(tmp_path / "whole.npz"))
    assert sorted([*data.x_train[:, 0], *data.x_test[:, 0]]) == list(range(20))
    assert len(data.x_test) == 4 and len(data.classes) == 2
    np.testing.assert_array_equal(data.y_train, data.x_train[:, 0] % 2)
    assert [parts_at_random(source) for source in (few, str(tmp_path / "whole.npz"), "digits")] == [
        False,
        True,
        False,
    ]


def test_class_numbers_may_be_floats_or_stand_in_a_column(tmp_path):
    for y in (np.arange(20.0) % 3, np.arange(20)[:, None] % 3):
        np.savez(tmp_path / "numbers.npz", x=np.arange(20.0)[:, None], y=y)
        data = read_dataset(str(tmp_path / "numbers.npz"))
        assert len(data.classes) == 3 and data.y_train.dtype == "int32"
        np.testing.assert_array_equal(data.y_train, data.x_train[:, 0] % 3)


def test_classes_without_a_point_to_train_on_are_told(tmp_path):
    y = np.arange(10) % 2
    arrays = {"x_train": np.eye(10), "y_train": 3 * y, "x_test": np.eye(10), "y_test": 5 * y}
    np.savez(tmp_path / "gaps.npz", **arrays)
    with pytest.warns(UserWarning, match=r"is of class 1, 2, 4, 5: of 6 classes.* 4 cannot"):
        read_dataset(str(tmp_path / "gaps.npz"))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((9, 3))}, "x_train, y_train, x_test and y_test, or x and y. Received: x"),
        ({"x": np.zeros((9, 3), "uint8"), "y": np.zeros(9, int)}, "scaled.*Received: uint8"),
        ({"x": np.zeros((9, 3, 3)), "y": np.zeros(9, int)}, "rows, columns, channels"),
        ({"x": np.full((9, 3), np.inf), "y": np.zeros(9, int)}, "finite floats"),
        ({"x": np.zeros((9, 3)), "y": np.zeros(8, int)}, "as many points"),
        ({"x": np.zeros((9, 3)), "y": np.arange(9) / 2.0}, "labels.*whole.*float64"),
        ({"x": np.zeros((9, 3)), "y": np.array([0.0, 1.0, np.nan] * 3)}, "whole.*float64"),
        ({"x": np.zeros((9, 3)), "y": np.array([-1, 1, 1] * 3)}, "do not begin at 0.*np.unique"),
        ({"x": np.zeros((9, 3)), "y": np.arange(1, 10)}, "do not begin at 0.*np.unique"),
        ({"x": np.zeros((9, 3)), "y": np.zeros(9, int)}, "one class alone"),
        ({"x": np.zeros((9, 3)), "y": np.array(["a", "b", "c"] * 3)}, "np.unique"),
        ({"x": np.zeros((9, 3, 3)), "y": np.zeros(9, int)}, r"x\[..., None\]"),
        ({"x": np.zeros((9, 3, 8, 8)), "y": np.arange(9) % 2}, r"x.transpose\(0, 2, 3, 1\)"),
        (
            {"x_train": np.zeros((9, 3)), "x_test": np.zeros((9, 2))}
            | dict.fromkeys(("y_train", "y_test"), np.arange(9) % 2),
            r"one shape. Received: shapes \(9, 3\) and \(9, 2\)",
        ),
    ],
)
def test_data_that_cannot_be_trained_on_are_named(tmp_path, arrays, message):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        read_dataset(str(tmp_path / "bad.npz"))


def test_a_wrong_smoothness_is_told_before_the_training(tmp_path, capsys):
    out = tmp_path / "model.keras"
    with pytest.raises(SystemExit):
        cli.main(["train", "--method", "otad", "--smoothness", "-1", "--out", str(out)])
    assert "expected a positive finite number" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
