"""A file is the old one or the new one, whoever writes it and whatever ends that."""

import pathlib

import pytest

from lipot.files import replaced


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path):
    file = tmp_path / "kept"
    file.write_text("old")
    with pytest.raises(OSError, match="full"), replaced(file) as draft:
        draft.write_text("ne")
        raise OSError("The disk is full.")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_two_that_write_at_once_write_different_drafts(tmp_path):
    file = tmp_path / "kept"
    with replaced(file) as first:
        first.write_text("first")
        # As in containers, whose processes have the same number.
        with replaced(file) as second:
            second.write_text("second")
        assert file.read_text() == "second"
    assert file.read_text() == "first"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("lipot.files.settle", lambda path: seen.append(pathlib.Path(path)))
    with replaced(tmp_path / "kept") as draft:
        draft.write_text("new")
    assert seen == [draft]
