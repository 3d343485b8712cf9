"""How files of a data set are found, fetched, read, checked and split."""

import hashlib
import io
import os
import pathlib
import re

import numpy as np

from lipot import extras


def local(filename):
    """The file of this name in `LIPOT_DATA_DIR`, or `None`."""
    folder = os.environ.get("LIPOT_DATA_DIR")
    file = pathlib.Path(folder, filename) if folder else None
    return file if file and file.is_file() else None


def fetch(name, filename, download, remedy="go online"):
    """Calls `download`; flattens the nested pairs of keras.datasets; says what to do on failure."""
    try:
        result = download()
    # Keras reports a failed download as a bare Exception.
    except Exception as error:
        reason = re.sub(r"\s+", " ", str(error))
        raise OSError(
            f"Could not load `{name}`: LIPOT_DATA_DIR={os.environ.get('LIPOT_DATA_DIR', '')!r} "
            f"does not hold {filename}, and fetching it failed ({reason}). "
            f"Set LIPOT_DATA_DIR to a folder that holds {filename}" + f", or {remedy}."
        ) from error
    if isinstance(result, tuple) and isinstance(result[0], tuple):
        return [array for pair in result for array in pair]
    return result


def read_npz(file, keys):
    """Reads the named arrays of a file, or says which are missing."""
    with np.load(file, allow_pickle=False) as arrays:
        missing = [key for key in keys if key not in arrays]
        if missing:
            raise ValueError(
                f"{file} is damaged. Expected the arrays {', '.join(keys)}. "
                f"Received: {', '.join(arrays.files)}"
            )
        return [arrays[key] for key in keys]


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
