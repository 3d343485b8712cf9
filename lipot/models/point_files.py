"""Stored points that stay in the files of a folder, and are read a part at a time."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import math
import os
import pathlib
import re
import uuid

import numpy as np

from lipot import checks
from lipot.files import fcntl, replaced, settle, settle_names
from lipot.models.training_points import squared_norms

_HEADER = "points.json"
_NAMES, _KEY = ("points", "features", "codes", "norms"), re.compile("[0-9a-f]{32}")
# Rows that are read at once to be centered.
_BLOCK = 4096


class FileRows:
    """Float32 rows of a file; those asked for come as an array of their own.

    Rows are read and not mapped: pages of a map, those around a row with it, would count as memory
    of the process.

    Args:
        path: The file, numbers without a header.
        shape: Shape of all rows.
    """

    def __init__(self, path, shape):
        self._path = path
        self.shape = tuple(shape)

    def __len__(self):
        return self.shape[0]

    def _open(self):
        try:
            return open(self._path, "rb")
        except FileNotFoundError as error:
            folder, name = os.path.split(self._path)
            raise _not_there(folder, f"no file {name}: a later adapt() replaces it") from error

    def __getitem__(self, rows):
        """Reads rows by a forward slice or by an array of row numbers of any shape."""
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            with self._open() as stream:
                return self._read(stream, start, max(stop - start, 0))[::step]
        # Each row once, in the order of the file.
        wanted, places = np.unique(np.asarray(rows), return_inverse=True)
        if len(wanted) and not 0 <= wanted[0] <= wanted[-1] < len(self):
            raise IndexError(f"Expected rows from 0 to {len(self) - 1}. Received: {rows}")
        found = np.empty((len(wanted), *self.shape[1:]), "float32")
        with self._open() as stream:
            for place, row in enumerate(wanted):
                found[place] = self._read(stream, int(row), 1)[0]
        return found[places.reshape(np.shape(rows))]

    def _read(self, stream, start, count):
        width = math.prod(self.shape[1:])
        stream.seek(4 * width * start)
        numbers = np.fromfile(stream, "float32", count * width)
        return numbers.reshape(count, *self.shape[1:])


@dataclasses.dataclass(frozen=True)
class PointFiles:
    """Points, their features and their centered codes in files.

    Attributes:
        folder: Where the files are.
        key: Names what is stored: another `adapt` has another key.
        size: Number of points.
        sample_shape: Shape of one point before flattening.
        code_width: Number of values of a code.
        digest: Tells them from any others: that of two `adapt` to the same points is the same.
    """

    folder: str
    key: str
    size: int
    sample_shape: tuple
    code_width: int
    digest: str

    @classmethod
    def open(cls, folder, key=None):
        """Opens a folder that `PointWriter` wrote.

        Args:
            folder: The folder.
            key: What must be stored there; anything by default.

        Raises:
            ValueError: If that is not there.
        """
        try:
            header = json.loads((pathlib.Path(folder) / _HEADER).read_text())
            header["sample_shape"] = tuple(header["sample_shape"])
            files = cls(os.path.abspath(folder), **header)
        except OSError as error:
            raise _not_there(folder, str(error)) from error
        except (ValueError, TypeError, KeyError) as error:
            raise _not_there(folder, f"a {_HEADER} that is none of its files") from error
        if key is not None and files.key != key:
            raise _not_there(folder, "points of a later adapt()")
        for name, width in files._widths().items():
            path, expected = files.path(name), 4 * files.size * width
            if not os.path.exists(path) or os.path.getsize(path) != expected:
                raise _not_there(folder, f"no file '{name}' of {expected} bytes")
        return files

    def path(self, name):
        """Path of a file that belongs to these points."""
        return os.path.join(self.folder, f"{self.key}.{name}")

    @functools.cached_property
    def codes(self):
        return self._rows("codes")

    @functools.cached_property
    def norms(self):
        return FileRows(self.path("norms"), (self.size,))

    def take(self, indices):
        """Returns points and features by row, `(batch, K) -> 2 x (batch, K, d)`."""
        return self._rows("points")[indices], self._rows("features")[indices]

    def _rows(self, name):
        return FileRows(self.path(name), (self.size, self._widths()[name]))

    def _widths(self):
        dimension = int(np.prod(self.sample_shape))
        return {"points": dimension, "features": dimension, "codes": self.code_width, "norms": 1}


class PointWriter:
    """Writes points into a folder, batch by batch, and replaces what was stored there.

    What was there stays until all is written. What a killed process left half written is removed,
    where nothing else writes into the folder. To be used as a context manager.

    Args:
        folder: Folder, made where there is none.
    """

    def __init__(self, folder):
        folder = checks.folder("folder", folder, "the path of a folder, or None")
        self._folder = os.path.abspath(folder)
        os.makedirs(self._folder, exist_ok=True)
        # Now, not when all is written.
        self._before = self._key_there()
        self._key, self._size, self._sum = uuid.uuid4().hex, 0, 0.0
        self._digests = {name: hashlib.sha256() for name in ("points", "features", "codes")}

    def __enter__(self):
        self._writing = _shared_by_writers(self._folder, self._remove_halves)
        return self

    def __exit__(self, *error):
        if any(error):
            self._remove(self._key)
        if self._writing is not None:
            os.close(self._writing)

    def add(self, points, features, codes):
        """Appends rows, arrays `(n, d)`, `(n, d)` and `(n, m)`."""
        for name, rows in (("points", points), ("features", features), ("codes", codes)):
            rows = np.ascontiguousarray(rows, "float32")
            self._append(name, rows)
            # Of each file by itself, so that the size of the batches does not count.
            self._digests[name].update(rows)
        self._size += len(points)
        self._sum = self._sum + np.sum(codes, axis=0, dtype="float64")
        self._code_width = codes.shape[1]

    def finish(self, sample_shape):
        """Centers the codes; returns `(PointFiles, center)`."""
        center = (self._sum / self._size).astype("float32")
        shape = (self._size, self._code_width)
        for start in range(0, self._size, _BLOCK):
            block = np.memmap(self._path("codes"), "float32", "r+", shape=shape)[start:][:_BLOCK]
            block -= center
            self._append("norms", squared_norms(block))
        sides = [int(side) for side in sample_shape]
        header = {"key": self._key, "size": self._size, "sample_shape": sides}
        told = " ".join(total.hexdigest() for total in self._digests.values())
        self._publish({**header, "code_width": self._code_width, "digest": told})
        # Another process may have replaced them since.
        return PointFiles.open(self._folder, self._key), center

    def _append(self, name, rows):
        with open(self._path(name), "ab") as stream:
            stream.write(np.ascontiguousarray(rows, "float32"))

    def _publish(self, header):
        for file in self._files(self._key):
            settle(file)
        with replaced(os.path.join(self._folder, _HEADER)) as draft:
            draft.write_text(json.dumps(header))
        settle_names(self._folder)
        if self._before is not None:
            self._remove(self._before)

    def _key_there(self):
        """The key of the points that the folder holds, or `None`."""
        path = pathlib.Path(self._folder, _HEADER)
        if not path.exists():
            return None
        try:
            return json.loads(path.read_text())["key"]
        except (ValueError, KeyError, TypeError) as error:
            raise checks.refused(
                "folder",
                "a new folder, or one that adapt(..., folder=...) filled",
                f"{self._folder!r}, whose {_HEADER} is none of its files; delete it, or choose "
                "another folder",
            ) from error

    def _remove(self, key):
        for file in self._files(key):
            file.unlink(missing_ok=True)

    def _remove_halves(self):
        for file in pathlib.Path(self._folder).iterdir():
            key, _, name = file.name.partition(".")
            # Asked again, since another writer may have ended meanwhile.
            if _KEY.fullmatch(key) and name in _NAMES and key != self._key_there():
                file.unlink()

    def _files(self, key):
        return list(pathlib.Path(self._folder).glob(f"{key}.*"))

    def _path(self, name):
        return os.path.join(self._folder, f"{self._key}.{name}")


def _shared_by_writers(folder, alone):
    """Says to other writers of a folder that there is one; calls `alone` where there is no other.

    Returns:
        What to close when the writing is done, or `None` where the system has no such locks.
    """
    if fcntl is None:
        return None
    opened = os.open(folder, os.O_RDONLY)
    # Some file systems have none either.
    with contextlib.suppress(OSError):
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alone()
    with contextlib.suppress(OSError):
        fcntl.flock(opened, fcntl.LOCK_SH)
    return opened


def _not_there(folder, received):
    return checks.refused(
        "folder",
        "the folder that adapt(..., folder=...) filled for this model; of one that was moved, "
        "call model.memory.attach(folder)",
        f"folder={str(folder)!r}, where there is {received}",
    )
