"""The networks that come with lipot are what their cards say."""

import pathlib

import keras
import pytest

from benchmarks.measure.training import presets as maker
from benchmarks.render import presets as page
from lipot import datasets, models
from lipot.models.presets import _FOLDER


@pytest.mark.parametrize("name", models.presets())
def test_a_card_is_what_the_network_gives(name):
    card = dict(models.preset_card(name))
    # Not to be fetched for a test.
    if card["data"] == "mnist" and not datasets.reading.local("mnist.npz"):
        pytest.skip("MNIST is not in LIPOT_DATA_DIR.")
    found = maker.card(name, models.from_preset(name))
    if keras.backend.backend() != "tensorflow" and "attacked" in card:
        # Each framework draws the starts of an attack in a way of its own.
        drawn = [made.pop("attacked") for made in (found, card)]
        assert abs(drawn[0]["accuracy"] - drawn[1]["accuracy"]) < 0.01
    assert found == card


def test_each_is_small_and_has_a_command():
    assert set(models.presets()) == set(maker.COMMANDS)
    files = {file.stem: file for file in pathlib.Path(_FOLDER).glob("*.keras")}
    assert set(files) == set(maker.COMMANDS)
    sizes = [file.stat().st_size for file in files.values()]
    assert max(sizes) < 2e6 and sum(sizes) < 5.5e6


def test_the_page_shows_the_cards():
    shown = page.PAGE.read_text()
    assert shown == page.rendered(), "Run python -m benchmarks.render.presets"


def test_more_is_clean_than_proven():
    for name in models.presets():
        card = models.preset_card(name)
        shares = [card["clean"], *card["certified"].values()]
        assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize("function", [models.from_preset, models.preset_card])
def test_other_names_are_refused(function):
    with pytest.raises(ValueError, match="`name`. Expected one of"):
        function("../presets")
