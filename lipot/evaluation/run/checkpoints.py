"""Where an evaluation keeps what it has found, so that it can be killed and started again."""

import hashlib
import json
import os
import pathlib
import zipfile

import numpy as np

from lipot import checks

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
    there is whole.

    Args:
        path: The folder; made if it is missing.
        identity: Dictionary of JSON values that tell this evaluation from any other: what it is
            about and how it is done.
    """

    def __init__(self, path, identity):
        self.path = pathlib.Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        stored = self.load_json(_MANIFEST)
        # As JSON gives them back: tuples are lists there.
        identity = json.loads(json.dumps(identity))
        if stored is None:
            self._check_unused()
            self.save_json(_MANIFEST, identity)
        elif stored != identity:
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
        self._write(self.path / f"{name}.npz", lambda file: np.savez(file, **arrays))

    def load_json(self, name):
        """Returns the JSON values saved by that name, or `None`."""
        file = self.path / name
        try:
            return json.loads(file.read_text()) if file.exists() else None
        except ValueError as error:
            raise _damaged(file) from error

    def save_json(self, name, values):
        """Saves JSON values."""
        text = json.dumps(values, indent=1)
        self._write(self.path / name, lambda file: file.write(text.encode()))

    def _write(self, file, write):
        draft = file.with_name(f"{file.name}.{os.getpid()}.part")
        with open(draft, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(draft, file)

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


def digest(*arrays):
    """SHA-256 of some arrays, their shapes and types included."""
    total = hashlib.sha256()
    for array in map(np.asanyarray, arrays):
        total.update(f"{array.shape} {array.dtype};".encode())
        # In parts, since an array may be a map of a file larger than the memory.
        parts = [array] if array.ndim == 0 else np.array_split(array, len(array) // 4096 + 1)
        for part in parts:
            total.update(np.ascontiguousarray(part).tobytes())
    return total.hexdigest()


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
