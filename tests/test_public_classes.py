"""What holds for every public class, whichever it is: it survives a round trip."""

import pytest

from lipot import losses
from tests.helpers import check_serializable
from tests.public_classes import MADE, ROOMS, make, public_classes

EVERY_CLASS = [(room, name) for room in ROOMS for name in public_classes(room)]


@pytest.mark.parametrize(("room", "name"), EVERY_CLASS)
def test_round_trip(room, name):
    check_serializable(make(room, name))


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
