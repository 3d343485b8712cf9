"""Files that a kill, a crash or another process never leaves in halves, and what tells data."""

import contextlib
import hashlib
import os
import pathlib
import uuid

import numpy as np

try:
    import fcntl
except ModuleNotFoundError:
    # Windows has no such locks.
    fcntl = None


@contextlib.contextmanager
def replaced(file):
    """Writes a file in one step: whoever reads it, whenever, sees the old one or the new one.

    The content is on the disk before its name is. Processes that write the same file side by side,
    on several machines too, do not meet: the last one to end is read.

    Args:
        file: Path of the file, in a folder that exists.

    Yields:
        `pathlib.Path` to write to instead, beside the file.

    Example:

    >>> import tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp(), "numbers")
    >>> with replaced(file) as draft:
    ...     _ = draft.write_text("1 2 3")
    >>> file.read_text(), [path.name for path in file.parent.iterdir()]
    ('1 2 3', ['numbers'])
    """
    file = pathlib.Path(file)
    # Not the number of the process, which is the same one in many containers.
    draft = file.with_name(f"{file.name}.{uuid.uuid4().hex}.part")
    try:
        yield draft
        settle(draft)
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)


def settle(path):
    """Returns once a file, or all files of a folder and their names, are on the disk.

    Before, a power failure may leave a file that has its name and size, and not its content.

    Args:
        path: Path of a file, or of a folder without folders inside.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        with path.open("rb+") as stream:
            os.fsync(stream.fileno())
        return
    for file in path.iterdir():
        settle(file)
    settle_names(path)


def settle_names(folder):
    """Returns once it is on the disk which files a folder has. Only Windows opens no folder."""
    if os.name == "nt":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


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
