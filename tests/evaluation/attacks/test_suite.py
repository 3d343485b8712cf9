"""The registry of the attacks holds every file, and the suites are in their order."""

import pathlib

import keras
import numpy as np

from lipot.evaluation import SUITES
from lipot.evaluation.attacks import suite
from lipot.interop.art import classifier
from tests.evaluation.cases import linear


def test_every_file_of_an_attack_is_in_the_registry():
    folder = pathlib.Path(suite.__file__).parent
    written = {file.stem for file in folder.glob("*.py") if "\nSPEC = " in file.read_text()}
    assert written == set(suite._FILES) and len(suite.ATTACKS) == len(written)


def test_suites_run_cheap_attacks_first_and_blind_ones_last():
    assert suite.SUITES["quick"] == ("pgd", "apgd")
    assert suite.SUITES["exhaustive"] == (*suite.SUITES["standard"], "ngopt")
    for names in suite.SUITES.values():
        specs = [suite.ATTACKS[name] for name in names]
        order = [(not spec.needs_gradient, spec.cost) for spec in specs]
        assert order == sorted(order)


def test_a_suite_leaves_out_what_does_not_fit_and_says_so():
    target = classifier(linear(np.eye(4, 2), [0, 0]), clip_values=(0, 1))
    specs, left_out = suite.resolve("standard", target, 2)
    assert left_out == {"simba": "It needs images."}
    assert [spec.name for spec in specs] == [n for n in SUITES["standard"] if n != "simba"]


def test_simba_moves_each_pixel_once():
    network = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()])
    network.add(keras.layers.Dense(2))
    target = classifier(network, clip_values=(0, 1))
    spec = suite.ATTACKS["simba"]
    assert spec.settings["steps"] == 1000
    assert spec.build(target, "inf", 0.1, **spec.settings).max_iter == 16
    assert spec.build(target, 2, 0.1, steps=5, step_size=0.2).max_iter == 5
