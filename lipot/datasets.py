"""The data sets of the examples and benchmarks, ready to train on, by name."""

import hashlib
import io
import os
import pathlib
import re
from typing import NamedTuple

import keras
import numpy as np

from lipot import extras

_WINE_URL = (
    "https://archive.ics.uci.edu/ml/machine-learning-databases/wine-quality/winequality-red.csv"
)
_CIFAR10_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)

# SHA-256 of the decoded values, so that it holds for every container they may come in.
_MNIST_SHA256 = "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16"
_WINE_SHA256 = "6f290d884d4c4ff5646192901a4c4f1c84f1735e4e2618922b208473aac8692b"


class Dataset(NamedTuple):
    """Training and test points with what an attack or a plot must know about them.

    Attributes:
        x_train: Float32 array `(points, ...)`; images are `(points, rows, columns, channels)`
            with values in [0, 1].
        y_train: Int32 labels `(points,)`, or float32 targets for a regression.
        x_test: As `x_train`.
        y_test: As `y_train`.
        name: The name it was loaded by.
        classes: Names of the classes in the order of the labels; empty for a regression.
        clip_values: Smallest and largest value an input can take; None where there is no limit.
        note: What must be said beside every figure made from these points; mostly empty.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    name: str
    classes: tuple = ()
    clip_values: tuple | None = None
    note: str = ""

    @property
    def y_train_onehot(self):
        """Training labels as float32 rows of 0 and 1, which the hinge-KR losses take."""
        return self._onehot(self.y_train)

    @property
    def y_test_onehot(self):
        """Test labels as float32 rows of 0 and 1."""
        return self._onehot(self.y_test)

    def _onehot(self, labels):
        if not self.classes:
            raise ValueError(f"`{self.name}` is a regression: it has no classes to encode.")
        return np.eye(len(self.classes), dtype="float32")[labels]


def load(name, *, seed=0):
    """Loads a data set: from the folder `LIPOT_DATA_DIR` if it is there, else from the network.

    | name        | points        | one point     | what it is                                  |
    |-------------|---------------|---------------|---------------------------------------------|
    | `digits`    | 1437 + 360    | (8, 8, 1)     | digits bundled with scikit-learn            |
    | `two_moons` | 2000 + 1000   | (2,)          | two interleaved half circles, drawn anew    |
    | `mnist`     | 60000 + 10000 | (28, 28, 1)   | `mnist.npz`                                 |
    | `cifar10`   | 50000 + 10000 | (32, 32, 3)   | `cifar10.npz`, or else `cifar10_jpeg.npz`   |
    | `wine`      | 1279 + 320    | (11,)         | `winequality-red.csv`, a regression         |
    | `pbmc68k`   | 560 + 140     | (765,)        | `pbmc68k_reduced.npz`, cells in 10 types    |

    Where there is no official split, one fifth of the points is set aside for testing, with the
    same share of every class. The features of `wine` are scaled to mean 0 and variance 1 over its
    training points; those of `pbmc68k` come scaled.

    Args:
        name: One of the names above.
        seed: Integer. Draws `two_moons` and every split that is not official.

    Returns:
        A `Dataset`.

    Raises:
        ValueError: `name` is unknown, or a file holds other values than it should.
        OSError: the data are not on this machine and could not be fetched.

    Example:

    >>> digits = load("digits")
    >>> digits.x_train.shape, digits.y_train.shape, digits.clip_values
    ((1437, 8, 8, 1), (1437,), (0.0, 1.0))
    """
    if name not in _LOADERS:
        raise ValueError(
            "Invalid value received for argument `name`. "
            f"Expected one of {', '.join(names())}. Received: name={name}"
        )
    return _LOADERS[name](seed)


def names():
    """Lists the names that `load` knows.

    Example:

    >>> names()
    ('cifar10', 'digits', 'mnist', 'pbmc68k', 'two_moons', 'wine')
    """
    return tuple(sorted(_LOADERS))


def _digits(seed):
    with extras.named():
        from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16.0).astype("float32").reshape(-1, 8, 8, 1)
    classes = tuple(str(digit) for digit in range(10))
    return Dataset(*_split(x, y, seed, stratify=True), "digits", classes, (0.0, 1.0))


def _two_moons(seed):
    with extras.named():
        from sklearn.datasets import make_moons

    x, y = make_moons(n_samples=3000, noise=0.05, random_state=seed)
    x, y = x.astype("float32"), y.astype("int32")
    return Dataset(x[:2000], y[:2000], x[2000:], y[2000:], "two_moons", ("upper", "lower"))


def _mnist(seed):
    file = _local("mnist.npz")
    if file:
        arrays = _read_npz(file, ("x_train", "y_train", "x_test", "y_test"))
    else:
        arrays = _fetch("mnist", "mnist.npz", keras.datasets.mnist.load_data)
    _check_digest(arrays, _MNIST_SHA256, "mnist", file)
    x_train, y_train, x_test, y_test = arrays
    classes = tuple(str(digit) for digit in range(10))
    return _image_dataset("mnist", x_train, y_train, x_test, y_test, classes)


def _cifar10(seed):
    note = ""
    if file := _local("cifar10.npz"):
        arrays = _read_npz(file, ("x_train", "y_train", "x_test", "y_test"))
    elif file := _local("cifar10_jpeg.npz"):
        arrays = _read_jpegs(file)
        note = "Every image was stored as a JPEG, which loses a little of it."
    else:
        wanted = "cifar10.npz or cifar10_jpeg.npz"
        arrays = _fetch("cifar10", wanted, keras.datasets.cifar10.load_data)
    shapes = [array.shape[1:] for array in arrays[::2]]
    if shapes != [(32, 32, 3)] * 2 or [len(array) for array in arrays] != [50000] * 2 + [10000] * 2:
        raise ValueError(
            f"`cifar10` is damaged ({file or 'download'}). Expected 50000 training and 10000 test "
            f"images of shape (32, 32, 3). Received: {[array.shape for array in arrays]}"
        )
    return _image_dataset("cifar10", *arrays, _CIFAR10_CLASSES)._replace(note=note)


def _wine(seed):
    file = _local("winequality-red.csv")
    if not file:
        file = _fetch(
            "wine",
            "winequality-red.csv",
            lambda: keras.utils.get_file("winequality-red.csv", _WINE_URL),
        )
    # UCI separates the columns by semicolons, most copies by commas.
    separator = ";" if ";" in pathlib.Path(file).read_text().partition("\n")[0] else ","
    table = np.loadtxt(file, delimiter=separator, skiprows=1)
    _check_digest([table], _WINE_SHA256, "wine", file)
    x_train, y_train, x_test, y_test = _split(table[:, :-1], table[:, -1], seed)
    mean, deviation = x_train.mean(axis=0), x_train.std(axis=0)
    x_train, x_test = (x_train - mean) / deviation, (x_test - mean) / deviation
    return Dataset(*(a.astype("float32") for a in (x_train, y_train, x_test, y_test)), "wine")


def _pbmc68k(seed):
    if file := _local("pbmc68k_reduced.npz"):
        x, y, classes = _read_npz(file, ("x", "y", "classes"))
    else:
        x, y, classes = _fetch("pbmc68k", "pbmc68k_reduced.npz", _pbmc68k_from_scanpy)
    if x.shape != (700, 765) or len(classes) != 10:
        raise ValueError(
            f"`pbmc68k` is damaged ({file or 'scanpy'}). Expected 700 cells with 765 genes in 10 "
            f"types. Received: x.shape={x.shape}, {len(classes)} types"
        )
    split = _split(x.astype("float32"), y, seed, stratify=True)
    return Dataset(*split, "pbmc68k", tuple(str(name) for name in classes))


def _pbmc68k_from_scanpy():
    # The scanpy package carries this set and is the only thing that reads its file format.
    import scanpy

    cells = scanpy.datasets.pbmc68k_reduced()
    types = cells.obs["bulk_labels"].astype("category").cat
    return np.asarray(cells.X), np.asarray(types.codes), tuple(types.categories)


_LOADERS = {
    "cifar10": _cifar10,
    "digits": _digits,
    "mnist": _mnist,
    "pbmc68k": _pbmc68k,
    "two_moons": _two_moons,
    "wine": _wine,
}


def _local(filename):
    folder = os.environ.get("LIPOT_DATA_DIR")
    file = pathlib.Path(folder, filename) if folder else None
    return file if file and file.is_file() else None


def _fetch(name, filename, download):
    """Calls `download`; flattens the nested pairs of keras.datasets; says what to do on failure."""
    try:
        result = download()
    # Keras reports a failed download as a bare Exception.
    except Exception as error:
        reason = re.sub(r"\s+", " ", str(error))
        raise OSError(
            f"Could not load `{name}`: LIPOT_DATA_DIR={os.environ.get('LIPOT_DATA_DIR', '')!r} "
            f"does not hold {filename}, and fetching it failed ({reason}). "
            f"Set LIPOT_DATA_DIR to a folder that holds {filename}"
            + (", or run `pip install scanpy`." if name == "pbmc68k" else ", or go online.")
        ) from error
    if isinstance(result, tuple) and isinstance(result[0], tuple):
        return [array for pair in result for array in pair]
    return result


def _read_npz(file, keys):
    with np.load(file, allow_pickle=False) as arrays:
        missing = [key for key in keys if key not in arrays]
        if missing:
            raise ValueError(
                f"{file} is damaged. Expected the arrays {', '.join(keys)}. "
                f"Received: {', '.join(arrays.files)}"
            )
        return [arrays[key] for key in keys]


def _read_jpegs(file):
    """Decodes images stored end to end: image i is bytes offset[i] to offset[i + 1]."""
    with extras.named():
        from PIL import Image

    keys = [f"{key}_{part}" for part in ("train", "test") for key in ("jpeg", "offset", "y")]
    arrays = dict(zip(keys, _read_npz(file, keys)))
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


def _check_digest(arrays, expected, name, file):
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    if digest.hexdigest() != expected:
        raise ValueError(
            f"`{name}` is damaged ({file or 'download'}). Expected values with SHA-256 {expected}. "
            f"Received: {digest.hexdigest()}. Delete the file, or replace it by a good copy."
        )


def _split(x, y, seed, *, stratify=False):
    with extras.named():
        from sklearn.model_selection import train_test_split

    x_train, x_test, y_train, y_test = train_test_split(
        x, y, test_size=0.2, random_state=seed, stratify=y if stratify else None
    )
    if stratify:
        y_train, y_test = y_train.astype("int32"), y_test.astype("int32")
    return x_train, y_train, x_test, y_test


def _image_dataset(name, x_train, y_train, x_test, y_test, classes):
    return Dataset(
        _to_unit_interval(x_train),
        np.asarray(y_train, "int32").reshape(-1),
        _to_unit_interval(x_test),
        np.asarray(y_test, "int32").reshape(-1),
        name,
        classes,
        (0.0, 1.0),
    )


def _to_unit_interval(images):
    images = images[..., np.newaxis] if images.ndim == 3 else images
    return images.astype("float32") / np.float32(255.0)
