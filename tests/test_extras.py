"""What is not installed is named in one line, with the extra that brings it."""

import pathlib
import subprocess
import sys
import tomllib

import pytest

import lipot
from lipot import extras

ROOT = pathlib.Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
# Hides packages from a fresh process, as if they had never been installed.
HIDDEN = """
import sys

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hide())
"""
# Everything but Keras's own requirements and one framework.
EVALUATE = {"art", "jinja2", "matplotlib", "multiprocess", "pandas", "PIL", "sklearn", "scipy"}


def _run(code, hidden):
    source = HIDDEN.format(hidden=sorted(hidden)) + code
    return subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("code", "package", "extra"),
    [
        ("import lipot; lipot.evaluate", "art", "evaluate"),
        ("import lipot; lipot.interop.art", "art", "evaluate"),
        ("import lipot; lipot.datasets.load('digits')", "sklearn", "evaluate"),
        ("import lipot", "tensorflow", "tensorflow"),
    ],
    ids=["evaluate", "art", "data", "framework"],
)
def test_the_extra_is_named(code, package, extra, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    done = _run(code, {package})
    last = done.stderr.strip().splitlines()[-1]
    said = f"{package} is not installed, which this needs: pip install 'lipot[{extra}]'"
    assert last == f"ImportError: {said}"


def test_the_command_line_says_so_in_one_line():
    code = "import lipot_cli; sys.exit(lipot_cli.main(['certify', 'm.keras', 'digits']))"
    done = _run(code, {"sklearn"})
    assert done.returncode == 1
    said = "sklearn is not installed, which this needs: pip install 'lipot[evaluate]'"
    assert done.stderr.strip().splitlines()[-1] == f"lipot: error: {said}"


def test_layers_alone_need_keras_and_a_framework():
    code = """
import keras, lipot, numpy as np
model = lipot.Sequential([keras.Input((4,)), lipot.layers.SpectralDense(4),
                          lipot.layers.GroupSort2(), lipot.layers.FrobeniusDense(2)])
model.compile("adam", lipot.losses.MulticlassHKR(10.0))
x = np.random.default_rng(0).normal(size=(8, 4))
model.fit(x, np.eye(2)[[0, 1] * 4], verbose=0)
print(lipot.certify(model, x).summary(), lipot.to_keras(model).name)
"""
    done = _run(code, EVALUATE)
    assert done.returncode == 0, done.stderr
    assert "radius: median" in done.stdout


def test_every_extra_that_is_named_exists():
    declared = SETTINGS["project"]["optional-dependencies"]
    assert set(extras.EXTRAS.values()) <= set(declared)
    assert {"tensorflow", "evaluate", "plot", "ray", "all"} <= set(declared)
    needed = (ROOT / "requirements.txt").read_text()
    assert [line.partition(">")[0] for line in needed.splitlines() if line[0] != "#"] == [
        *("keras", "numpy")
    ]


def test_versions_agree():
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {lipot.__version__}\n" in citation
