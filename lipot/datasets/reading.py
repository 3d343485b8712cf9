"""How files of a data set are found, fetched, read, checked and split."""

import contextlib
import hashlib
import io
import os
import pathlib
import re
import zipfile
import zlib

import numpy as np

from lipot import extras


def local(filename):
    """The file of this name in `LIPOT_DATA_DIR`, or `None`."""
    folder = os.environ.get("LIPOT_DATA_DIR")
    file = pathlib.Path(folder, filename) if folder else None
    return file if file and file.is_file() else None


def _folder_in_words(filename):
    """What keeps `LIPOT_DATA_DIR` from giving a file."""
    folder = os.environ.get("LIPOT_DATA_DIR")
    if not folder:
        return "LIPOT_DATA_DIR is not set"
    if not os.path.isdir(folder):
        return f"LIPOT_DATA_DIR={folder!r} is no folder"
    return f"LIPOT_DATA_DIR={folder!r} does not hold {filename}"


def fetch(name, filename, download, remedy="go online"):
    """Calls `download`; flattens the nested pairs of keras.datasets; says what to do on failure."""
    try:
        result = download()
    # Keras reports a failed download as a bare Exception.
    except Exception as error:
        reason = re.sub(r"\s+", " ", str(error))
        raise OSError(
            f"Could not load `{name}`: {_folder_in_words(filename)}, and fetching it failed "
            f"({reason}). "
            f"Set LIPOT_DATA_DIR to a folder that holds {filename}" + f", or {remedy}."
        ) from error
    if isinstance(result, tuple) and isinstance(result[0], tuple):
        return [array for pair in result for array in pair]
    return result


@contextlib.contextmanager
def damage_named(file):
    """Names the file, and says what to do, where what is inside it cannot be read."""
    try:
        yield
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{file} is damaged ({type(error).__name__}). Delete the file, or replace it by a good "
            "copy."
        ) from error


def read_npz(file, keys):
    """Reads the named arrays of a file, or says which are missing."""
    with damage_named(file), np.load(file, allow_pickle=False) as arrays:
        known = arrays.files
        found = {key: arrays[key] for key in keys if key in known}
    if len(found) < len(keys):
        raise ValueError(
            f"{file} is damaged. Expected the arrays {', '.join(keys)}. "
            f"Received: {', '.join(known)}"
        )
    return list(found.values())


def read_jpegs(file):
    """Decodes images stored end to end: image i is bytes offset[i] to offset[i + 1]."""
    with extras.named():
        from PIL import Image

    keys = [f"{key}_{part}" for part in ("train", "test") for key in ("jpeg", "offset", "y")]
    arrays = dict(zip(keys, read_npz(file, keys)))
    decoded = []
    for part in ("train", "test"):
        stream, offsets = arrays[f"jpeg_{part}"].tobytes(), arrays[f"offset_{part}"]
        images = np.stack(
            [
                np.asarray(Image.open(io.BytesIO(stream[start:end])))
                for start, end in zip(offsets[:-1], offsets[1:])
            ]
        )
        decoded += [images, arrays[f"y_{part}"]]
    return decoded


def check_digest(arrays, expected, name, file):
    """Compares the SHA-256 of decoded values, which holds for every container they come in."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    if digest.hexdigest() != expected:
        raise ValueError(
            f"`{name}` is damaged ({file or 'download'}). Expected values with SHA-256 {expected}. "
            f"Received: {digest.hexdigest()}. Delete the file, or replace it by a good copy."
        )


def split(x, y, seed, *, stratify=False):
    """Sets one fifth aside for testing: `(x_train, y_train, x_test, y_test)`."""
    with extras.named():
        from sklearn.model_selection import train_test_split

    x_train, x_test, y_train, y_test = train_test_split(
        x, y, test_size=0.2, random_state=seed, stratify=y if stratify else None
    )
    if stratify:
        y_train, y_test = y_train.astype("int32"), y_test.astype("int32")
    return x_train, y_train, x_test, y_test
