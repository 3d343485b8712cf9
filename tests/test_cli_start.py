"""How commands start, without waiting for what they do not need, and how Ctrl-C ends them."""

import argparse
import inspect
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

import lipot_cli
from lipot import cli, datasets, recipes
from lipot_cli import train
from lipot_cli.options import DATA_SETS

ROOT = pathlib.Path(__file__).parents[1]
HEAVY = {"numpy", "keras", "tensorflow", "jax", "torch", "lipot", "rich"}
OPTIONAL = {"matplotlib", "sklearn", "art", "pandas", "PIL", "jinja2", "rich"}
# Imports modules, runs some code, and tells which packages that brought.
TOLD = """
import json, sys
{before}
known = set(sys.modules)
try:
    {code}
except SystemExit:
    pass
packages = sorted({{name.partition(".")[0] for name in set(sys.modules) - known}})
print("\\n" + json.dumps(packages))
"""


def _brought_by(code, before=""):
    source = TOLD.format(before=before, code=code)
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "words", ["--help", "--version", "train --help", "evaluate --help", "certify m d --eps -1"]
)
def test_help_and_wrong_options_wait_for_no_framework(words):
    brought = _brought_by(f"import lipot_cli; lipot_cli.main({words.split()})")
    assert "argparse" in brought and not HEAVY & brought


def test_lipot_brings_nothing_that_keras_does_not_and_few_need():
    # Submodules count: Keras itself imports some of scikit-learn.
    assert not OPTIONAL & _brought_by("import lipot", before="import keras")


def test_names_that_help_lists_are_those_that_exist():
    assert datasets.names() == DATA_SETS
    assert tuple(recipes.METHODS) == train.METHODS
    assert cli.main is lipot_cli.main


def test_defaults_that_help_states_are_those_of_the_recipes():
    commands = argparse.ArgumentParser().add_subparsers()
    train.add_to(commands)
    stated, true = {}, {}
    for action in commands.choices["train"]._actions:
        name = train._ARGUMENTS.get(action.dest, action.dest)
        known = [inspect.signature(recipe).parameters for recipe in recipes.METHODS.values()]
        defaults = {of[name].default for of in known if name in of}
        number = re.search(r"\(default: ([\d.]+)\)", action.help or "")
        if number and defaults - {inspect.Parameter.empty}:
            stated[name], true[name] = {float(number[1])}, defaults
    assert set(stated) == {"alpha", "minutes", "seed", "smoothness", "weight"}
    assert stated == true


def _interrupted(*_, **__):
    raise KeyboardInterrupt


STOPPED = {
    "demo": ([], "Start it again"),
    "train": ([], "Nothing was finished that could be kept: start it again"),
    "certify": (["m.keras", "digits"], "--limit"),
    "evaluate": (["m.keras", "digits"], "with --resume FOLDER, it can go on"),
    "report": (["r.json"], "Start it again"),
}


@pytest.mark.parametrize("command", STOPPED)
def test_ctrl_c_says_on_one_line_how_to_go_on(command, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.json").write_text("{}")
    monkeypatch.setattr("lipot.datasets.load", _interrupted)
    monkeypatch.setattr("lipot.evaluation.RobustnessReport.from_json", _interrupted)
    words, advice = STOPPED[command]
    assert cli.main([command, *words]) == 130
    error = capsys.readouterr().err
    assert error.startswith("lipot: stopped. ") and error.count("\n") == 1 and advice in error


def test_a_stopped_evaluation_names_its_own_folder(monkeypatch, capsys):
    monkeypatch.setattr("lipot.datasets.load", _interrupted)
    assert cli.main(["evaluate", "m.keras", "digits", "--resume", "kept"]) == 130
    assert "The same command, with --resume kept, goes on from there." in capsys.readouterr().err


def test_a_training_that_is_truly_interrupted_ends_without_a_traceback(tmp_path):
    command = [sys.executable, "-m", "lipot_cli", "train", "--epochs", "10000"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "model.keras")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background has its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert any(line.startswith("Epoch 2/") for line in process.stdout)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in error
    last = error.splitlines()[-1]
    assert re.fullmatch(
        r"lipot: stopped. The same command with --resume goes on after epoch \d+.", last
    )
    assert [path.name for path in tmp_path.iterdir()] == ["model.training"]
