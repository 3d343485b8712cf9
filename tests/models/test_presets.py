"""The networks that come with lipot are what their cards say."""

import pathlib

import pytest

from benchmarks import presets as maker
from lipot import models
from lipot.models.presets import _FOLDER


@pytest.mark.parametrize("name", models.presets())
def test_a_card_is_what_the_network_gives(name):
    assert maker.card(models.from_preset(name), maker.COMMANDS[name]) == models.preset_card(name)


def test_each_is_small_and_has_a_command():
    assert set(models.presets()) == set(maker.COMMANDS)
    files = {file.stem: file for file in pathlib.Path(_FOLDER).glob("*.keras")}
    assert set(files) == set(maker.COMMANDS)
    assert all(file.stat().st_size < 2e6 for file in files.values())


def test_the_page_shows_the_cards():
    page = (pathlib.Path(__file__).parents[2] / "docs" / "presets.md").read_text()
    for name in models.presets():
        card = models.preset_card(name)
        shares = f"{100 * card['clean']:.2f} % | {100 * card['certified']['0.25']:.2f} %"
        assert f"| `{name}` | `{card['command']}` | {card['parameters']:,} | {shares} |" in page


@pytest.mark.parametrize("function", [models.from_preset, models.preset_card])
def test_other_names_are_refused(function):
    with pytest.raises(ValueError, match="`name`. Expected one of"):
        function("../presets")
