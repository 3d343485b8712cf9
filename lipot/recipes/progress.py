"""The folder in which a training keeps what it has done, to go on when it was stopped."""

import contextlib
import json
import os
import pathlib

from lipot.files import fcntl, replaced

_SETTINGS, _LOCK = "settings.json", "lock"


@contextlib.contextmanager
def locked(folder):
    """Locks a folder for one training: inside the `with` no other one may lock it.

    The operating system releases the lock when the process ends, even by a kill. Where there are no
    such locks, as on Windows and in some network folders, nothing is checked.

    Args:
        folder: Path of the folder; made if it is missing.

    Raises:
        ValueError: Another training holds the lock.

    Example:

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with locked(folder), locked(folder):
    ...     pass
    Traceback (most recent call last):
        ...
    ValueError: ... is in use by a training that still runs, process ...
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a+") as file:
        if fcntl is not None:
            _lock(file, folder)
        yield


def _lock(file, folder):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise ValueError(
            f"{folder} is in use by a training that still runs, process {file.read()}. Wait until "
            "it ends, or write elsewhere."
        ) from None
    except OSError:
        # The file system has no locks.
        return
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()


def claim(folder, settings):
    """Makes a folder the one of a training with some settings, or checks that it is.

    Args:
        folder: Path of the folder; made if it is missing.
        settings: Dictionary of JSON values that tell this training from any other.

    Returns:
        `pathlib.Path` of the folder.

    Raises:
        ValueError: The folder is that of a training with other settings.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # As JSON gives them back: tuples are lists there.
    settings = json.loads(json.dumps(settings))
    file = folder / _SETTINGS
    if not file.exists():
        _replace(file, json.dumps(settings, indent=1))
        return folder
    begun = json.loads(file.read_text())
    differing = [key for key in {**begun, **settings} if begun.get(key) != settings.get(key)]
    if differing:
        first = differing[0]
        raise ValueError(
            f"{folder} keeps a training with other {', '.join(differing)} ({first} there: "
            f"{begun.get(first)}; here: {settings.get(first)}). Give the same settings to go on, "
            "or delete the folder to start anew."
        )
    return folder


class Journal:
    """JSON values in a file, a line each; what was added is there after a kill.

    Args:
        file: Path of the file, in a folder that exists.

    Example:

    >>> import tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp(), "journal.jsonl")
    >>> Journal(file).add({"score": 0.5})
    >>> Journal(file).lines
    [{'score': 0.5}]
    """

    def __init__(self, file):
        self._file = pathlib.Path(file)
        text = self._file.read_text() if self._file.exists() else ""
        whole, _, cut = text.rpartition("\n")
        self.lines = [json.loads(line) for line in whole.splitlines()]
        if cut:
            # A kill met the line being written.
            _replace(self._file, f"{whole}\n" if whole else "")

    def add(self, values):
        """Adds a line."""
        self.lines.append(values)
        with self._file.open("a") as file:
            file.write(json.dumps(values) + "\n")


def _replace(file, text):
    with replaced(file) as draft:
        draft.write_text(text)
