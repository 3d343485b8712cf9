"""What holds for every public class, whichever it is: it survives a round trip."""

import numpy as np
import pytest

from lipot import losses
from tests.helpers import check_serializable
from tests.public_classes import MADE, ROOMS, make, make_with, public_classes

EVERY_CLASS = [(room, name) for room in ROOMS for name in public_classes(room)]


@pytest.mark.parametrize(("room", "name"), EVERY_CLASS)
def test_round_trip(room, name):
    check_serializable(make(room, name))


@pytest.mark.parametrize(("room", "name"), EVERY_CLASS)
def test_numbers_of_numpy_are_kept_as_pythons_own(room, name):
    config = make(room, name).get_config()
    numbers = {k: v for k, v in _own(config).items() if type(v) in (int, float, bool)}
    given = {k: np.asarray(v)[()] for k, v in numbers.items()}
    kept = make_with(room, name, **given).get_config()
    assert {k: repr(kept[k]) for k in numbers} == {k: repr(v) for k, v in numbers.items()}


@pytest.mark.parametrize(("room", "name"), EVERY_CLASS)
def test_an_argument_of_another_kind_is_refused_by_its_name(room, name):
    for argument in _own(make(room, name).get_config()):
        for value in (object(), np.array([[1, 2], [3, 4]]), {"a": 1}):
            with pytest.raises((TypeError, ValueError)) as error:
                make_with(room, name, **{argument: value})
            said = str(error.value)
            assert f"argument `{argument}`" in said and "Expected" in said


def _own(config):
    """The part of a configuration that lipot reads itself."""
    return {name: value for name, value in config.items() if not _is_read_by_keras(name, value)}


def _is_read_by_keras(name, value):
    known = {"activation", "dtype", "keeps", "name", "reduction", "shared_axes", "trainable"}
    serialized = isinstance(value, dict) and "class_name" in value
    return (
        serialized or name in known or name.endswith(("initializer", "regularizer", "constraint"))
    )


def test_every_room_has_classes():
    assert {room for room, _ in EVERY_CLASS} == set(ROOMS)


def test_no_entry_outlives_its_class():
    assert set(MADE) <= {f"{room}.{name}" for room, name in EVERY_CLASS}


def test_a_class_without_an_entry_is_named(monkeypatch):
    class Nameless(losses.PairedLoss):
        def __init__(self, factor):
            super().__init__()

    monkeypatch.setattr(losses, "Nameless", Nameless, raising=False)
    monkeypatch.setattr(Nameless, "__module__", "lipot.losses.nameless")
    with pytest.raises(AssertionError, match="Add an entry 'losses.Nameless' to MADE"):
        make("losses", "Nameless")
