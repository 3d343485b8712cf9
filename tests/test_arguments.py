"""Arguments of the entry points that cannot be: each is refused in words, before any work."""

import inspect
import pathlib
import re

import keras
import numpy as np
import pytest

import lipot
from lipot import datasets, demo, recipes
from lipot import workers as processes
from lipot.evaluation.run import engine
from lipot.recipes.arguments import CHECKS
from lipot.recipes.certified_choices import ARCHITECTURES, LOSSES

NAN, X, Y = float("nan"), np.linspace(0.0, 1.0, 24).reshape(6, 4).astype("float32"), [0, 1] * 3
ANYTHING = [0, -1, 1.5, NAN, "", "foo", [], {}, True, object()]
NUMBERS = [0, -1, NAN, float("inf"), "3", "", [], {}, True, object()]
FLAGS = [0, 1, NAN, "", "yes", [], None]

EVALUATE = {
    "model": [None, *ANYTHING, keras.layers.Dense(2)],
    "x": [None, *ANYTHING, X[:0], X[..., None]],
    "y": [None, *ANYTHING, [0, 1], [0, 1, 2] * 2],
    "norm": [None, *(value for value in ANYTHING if value != "inf"), 3, "l1"],
    "eps": [None, *NUMBERS, [0.1, NAN], [0.1, "a"], [[]]],
    "attacks": [None, *ANYTHING, ["foo"], ["pgd", 3], ["pgd", "pgd"], "PGD"],
    "name": [0, 1.5, [], {}, True, object()],
    "clip_values": [*ANYTHING, (0,), (1, 0), (0, NAN), (0, 1, 2), ("a", "b")],
    "outputs": [None, *ANYTHING],
    "batch_size": [None, *ANYTHING, "3"],
    "seed": [None, *(value for value in ANYTHING if value != 0 or value is False), 2**32],
    "resume": [0, 3, -1, 1.5, NAN, "", [], {}, True, object(), __file__],
    "sanity": FLAGS,
    "views": FLAGS,
    "progress": FLAGS,
    "notes": [0, 1.5, "", "foo", [], True, object()],
    "workers": [*ANYTHING, "ray://", "ray://host", "ray://:1", "2"],
    "eot_samples": [*ANYTHING, "3"],
}
CERTIFY = {name: EVALUATE[name] for name in ("model", "x", "norm", "batch_size", "workers")}
CERTIFY["y"] = EVALUATE["y"][1:]
CERTIFY["settings"] = [{"spare": 3}]


def _cases(table):
    return [pytest.param(name, value, id=f"{name}={value!r:.20}") for name in table
            for value in table[name]]  # fmt: skip


def _network():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])


def _refused(function, name, /, **arguments):
    with pytest.raises((ValueError, TypeError)) as error:
        function(**arguments)
    message = str(error.value)
    assert f"`{name}`" in message and "Expected" in message and "Received" in message


@pytest.fixture
def idle(monkeypatch):
    """Ends a test that comes as far as work: attacks, or other processes."""

    def work(*_, **__):
        pytest.fail("Work began.")

    monkeypatch.setattr(engine, "run", work)
    monkeypatch.setattr(processes, "_ray", work)


@pytest.mark.parametrize(("name", "value"), _cases(EVALUATE))
def test_evaluate_refuses_before_it_attacks(name, value, idle):
    good = {"model": _network(), "x": X, "y": Y, "norm": 2, "eps": 0.1, "clip_values": (0, 1)}
    _refused(lipot.evaluate, name, **{**good, name: value})


@pytest.mark.parametrize(("name", "value"), _cases(CERTIFY))
def test_certify_refuses_before_it_proves(name, value, idle):
    good = {"model": _network(), "x": X, "y": Y}
    changed = value if name == "settings" else {name: value}
    _refused(lipot.certify, next(iter(changed)), **{**good, **changed})


def test_no_argument_is_left_out():
    assert set(EVALUATE) == set(inspect.signature(lipot.evaluate).parameters)
    assert set(CERTIFY) == set(inspect.signature(lipot.certify).parameters)


@pytest.fixture(scope="module")
def report():
    return lipot.evaluate(
        _network(), X, Y, 2, 0.1, "fgsm", clip_values=(0, 1), sanity=False, views=False,
        progress=False,
    )  # fmt: skip


@pytest.mark.parametrize("value", [0, 3, 1.5, "", [], True])
def test_reports_are_written_to_paths_and_drawn_on_axes(value, report):
    _refused(report.plot, "ax", ax=value)
    _refused(lipot.certify(_network(), X, Y).plot, "ax", ax=value)
    _refused(report.to_json, "path", path=value)
    _refused(report.save_html, "path", path=value)
    _refused(lipot.interop.export, "path", model=_network(), path=value)
    _refused(lipot.interop.deel_lip.load_weights, "file", model=_network(), file=value)
    _refused(lipot.RobustnessReport.from_json, "source", source=value)
    _refused(lipot.RobustnessReport, "evaluations", evaluations=value)
    _refused(lipot.compare, "resume", models=[_network()], x=X, y=Y, norm=2, eps=0.1, resume=value)


@pytest.mark.parametrize("place", [pathlib.Path(__file__), pathlib.Path(__file__, "inside")])
def test_a_file_is_no_folder(place):
    identity = keras.Sequential([keras.Input((4,)), keras.layers.Rescaling(1.0)])
    _refused(lipot.callbacks.Backup, "folder", folder=place)
    _refused(lipot.callbacks.MonitorCallback, "logdir", monitored_layers=["a"], logdir=place)
    _refused(lipot.OTAD(identity, identity).adapt, "folder", x=X, folder=place)
    _refused(demo.run, "folder", folder=place)


@pytest.mark.parametrize("eps", ["", "foo", [], {}, NAN, -1, True, object(), float("inf")])
def test_a_certificate_is_drawn_at_radii(eps):
    _refused(lipot.certify(_network(), X, Y).plot, "eps", eps=eps)


_COUNTS = [0, -1, 1.5, NAN, "", "3", [], {}, True, object()]
_SIZES = ["", "0.1", -1, NAN, [], {}, True, object()]
RECIPES = {
    "data": [None, *ANYTHING, (X, Y)],
    **dict.fromkeys(("epochs", "batch_size", "steps", "neighbors", "code_size"), _COUNTS),
    **dict.fromkeys(("width", "depth"), _COUNTS),
    **dict.fromkeys(("minutes", "learning_rate", "eps", "smoothness"), NUMBERS),
    **dict.fromkeys(("min_margin", "weight"), [*_SIZES, float("inf")]),
    "alpha": _SIZES,
    "network": [*ANYTHING, keras.layers.Dense(3), keras.Sequential([keras.layers.Dense(2)])],
    "folder": EVALUATE["resume"],
    "seed": [*EVALUATE["seed"], 2**32],
    "choices": [*ANYTHING, [1], [recipes.Candidate("foo", "margin", 1.0, 1.0)]],
    "callbacks": [None, *ANYTHING[:-4], object(), [1], [lipot.callbacks.TimeBudget]],
    "verbose": [None, *(value for value in ANYTHING if value not in (0, True)), 3],
}


def _recipe_of(name):
    return next(r for r in recipes.METHODS.values() if name in inspect.signature(r).parameters)


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


@pytest.mark.parametrize(("name", "value"), _cases(RECIPES))
def test_recipes_refuse_before_they_train(name, value, digits, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("Training began."))
    recipe = _recipe_of(name)
    budget = "minutes" if "minutes" in inspect.signature(recipe).parameters else "epochs"
    _refused(recipe, name, **{"data": digits, budget: 1, name: value})


@pytest.mark.parametrize("method", recipes.METHODS)
def test_every_recipe_checks_every_argument(method):
    recipe = recipes.METHODS[method]
    names = set(inspect.signature(recipe).parameters)
    assert names <= set(CHECKS) == set(RECIPES)
    _refused(recipe, "data", data=3, **{"minutes" if method == "certified" else "epochs": 1})


@pytest.mark.parametrize(("shape", "classes"), [((8, 8, 1), 9), ((64,), 10), ((8, 8, 3), 10)])
def test_a_network_must_fit_the_data(shape, classes, digits):
    network = recipes.plain_classifier(shape, classes)
    _refused(recipes.train_otjr, "network", data=digits, epochs=1, network=network)


def test_a_choice_must_fit_the_data():
    choices = [recipes.Candidate(name, "emma", 3.0, 1e-3) for name in ("dense", "convolution")]
    refusal = {"data": datasets.load("two_moons"), "choices": choices}
    _refused(recipes.train_certified, "choices", **refusal)


def test_a_candidate_says_what_there_is_to_choose_from():
    assert {f'"{name}"' for name in (*ARCHITECTURES, *LOSSES)} <= set(
        re.findall(r'"\w+"', recipes.Candidate.__doc__)
    )
