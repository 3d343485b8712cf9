"""Data sets of measured features: wines and cells."""

import pathlib

import keras
import numpy as np

from lipot.datasets.dataset import Dataset
from lipot.datasets.reading import check_digest, damage_named, fetch, local, read_npz, split

_WINE_URL = (
    "https://archive.ics.uci.edu/ml/machine-learning-databases/wine-quality/winequality-red.csv"
)
WINE_SHA256 = "6f290d884d4c4ff5646192901a4c4f1c84f1735e4e2618922b208473aac8692b"


def wine(seed):
    """Quality of red wines, with features scaled over the training points."""
    file = local("winequality-red.csv")
    if not file:
        file = fetch(
            "wine",
            "winequality-red.csv",
            lambda: keras.utils.get_file("winequality-red.csv", _WINE_URL),
        )
    # UCI separates the columns by semicolons, most copies by commas.
    separator = ";" if ";" in pathlib.Path(file).read_text().partition("\n")[0] else ","
    with damage_named(file):
        table = np.loadtxt(file, delimiter=separator, skiprows=1)
    check_digest([table], WINE_SHA256, "wine", file)
    x_train, y_train, x_test, y_test = split(table[:, :-1], table[:, -1], seed)
    mean, deviation = x_train.mean(axis=0), x_train.std(axis=0)
    x_train, x_test = (x_train - mean) / deviation, (x_test - mean) / deviation
    return Dataset(*(a.astype("float32") for a in (x_train, y_train, x_test, y_test)), "wine")


def pbmc68k(seed):
    """Blood cells in ten types, by the activity of 765 genes."""
    if file := local("pbmc68k_reduced.npz"):
        x, y, classes = read_npz(file, ("x", "y", "classes"))
    else:
        wanted, remedy = "pbmc68k_reduced.npz", "run `pip install scanpy`"
        x, y, classes = fetch("pbmc68k", wanted, _pbmc68k_from_scanpy, remedy)
    if x.shape != (700, 765) or len(classes) != 10:
        raise ValueError(
            f"`pbmc68k` is damaged ({file or 'scanpy'}). Expected 700 cells with 765 genes in 10 "
            f"types. Received: x.shape={x.shape}, {len(classes)} types"
        )
    parts = split(x.astype("float32"), y, seed, stratify=True)
    return Dataset(*parts, "pbmc68k", tuple(str(name) for name in classes))


def _pbmc68k_from_scanpy():
    # The scanpy package carries this set and is the only thing that reads its file format.
    import scanpy

    cells = scanpy.datasets.pbmc68k_reduced()
    types = cells.obs["bulk_labels"].astype("category").cat
    return np.asarray(cells.X), np.asarray(types.codes), tuple(types.categories)
