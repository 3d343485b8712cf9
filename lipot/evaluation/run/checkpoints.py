"""Where an evaluation keeps what it has found, so that it can be killed and started again."""

import contextlib
import json
import os
import pathlib
import uuid
import zipfile

import numpy as np

from lipot import checks
from lipot.files import replaced

_MANIFEST = "evaluation.json"


class Memory:
    """Keeps nothing: an evaluation without a folder starts anew each time."""

    def load(self, name):
        """Always `None`."""
        return None

    def save(self, name, arrays):
        """Does nothing."""

    def load_json(self, name):
        """Always `None`."""
        return None

    def save_json(self, name, values):
        """Does nothing."""


class Folder:
    """Keeps arrays and JSON values in a folder that belongs to one evaluation.

    Files are written beside and then renamed: whenever the process dies, every file that is
    there is whole. Of evaluations that begin in one folder at once, it belongs to the first.

    Args:
        path: The folder; made if it is missing.
        identity: Dictionary of JSON values that tell this evaluation from any other: what it is
            about and how it is done.
    """

    def __init__(self, path, identity):
        self.path = pathlib.Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        # As JSON gives them back: tuples are lists there.
        identity = json.loads(json.dumps(identity))
        if self.load_json(_MANIFEST) is None:
            self._check_unused()
            self._claim(identity)
        stored = self.load_json(_MANIFEST)
        if stored != identity:
            raise ValueError(_refusal(self.path, stored, identity))

    def load(self, name):
        """Returns the arrays saved by that name, or `None`."""
        file = self.path / f"{name}.npz"
        if not file.exists():
            return None
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return dict(arrays)
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise _damaged(file) from error

    def save(self, name, arrays):
        """Saves a dictionary of arrays."""
        with replaced(self.path / f"{name}.npz") as draft, open(draft, "wb") as stream:
            np.savez(stream, **arrays)

    def load_json(self, name):
        """Returns the JSON values saved by that name, or `None`."""
        file = self.path / name
        try:
            return json.loads(file.read_text()) if file.exists() else None
        except ValueError as error:
            raise _damaged(file) from error

    def save_json(self, name, values):
        """Saves JSON values."""
        with replaced(self.path / name) as draft:
            draft.write_text(json.dumps(values, indent=1))

    def _claim(self, identity):
        mine = f"{_MANIFEST}.{uuid.uuid4().hex}.part"
        self.save_json(mine, identity)
        try:
            # Unlike a renaming, never in the place of what another evaluation wrote meanwhile.
            with contextlib.suppress(FileExistsError):
                os.link(self.path / mine, self.path / _MANIFEST)
        except OSError:
            # The file system has no links.
            self.save_json(_MANIFEST, identity)
        os.unlink(self.path / mine)

    def _check_unused(self):
        found = sorted(p.name for p in self.path.iterdir() if not p.name.endswith(".part"))
        if found:
            raise checks.refused(
                "resume",
                "an empty folder, or one of an earlier evaluation",
                f"{self.path}, which holds {found[0]}",
            )


def _damaged(file):
    return checks.refused(
        "resume",
        "a folder whose files are whole",
        f"{file}, which is damaged. Delete the folder, or that file alone to have its part done "
        "again.",
    )


def _refusal(path, stored, identity):
    differing = [key for key in identity if stored.get(key) != identity[key]]
    differing += [key for key in stored if key not in identity]
    first = differing[0]
    return (
        "Invalid value received for argument `resume`. Expected a folder of this evaluation. "
        f"Received: {path}, of an evaluation with other {', '.join(differing)} "
        f"({first} there: {_short(stored.get(first))}; here: {_short(identity.get(first))}). "
        "Choose another folder, or delete this one."
    )


def _short(value):
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
