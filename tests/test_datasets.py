import hashlib
import io
import os
import sys
import types

import keras
import numpy as np
import pandas
import pytest
import sklearn.datasets
from PIL import Image

from lipot import datasets
from lipot.datasets import reading, tables

needs_data = pytest.mark.skipif(
    "LIPOT_DATA_DIR" not in os.environ, reason="LIPOT_DATA_DIR names no folder with the real data"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LIPOT_DATA_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def offline(monkeypatch):
    def fail(*args, **kwargs):
        raise Exception("URL fetch failure on\nhttps://example.org")

    monkeypatch.delenv("LIPOT_DATA_DIR", raising=False)
    for name in ("mnist", "fashion_mnist", "cifar10", "cifar100"):
        monkeypatch.setattr(getattr(keras.datasets, name), "load_data", fail)
    monkeypatch.setattr(keras.utils, "get_file", fail)
    for package in ("scanpy", "tensorflow_datasets"):
        monkeypatch.setitem(sys.modules, package, None)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="Expected one of .*cifar10, cifar100.*name='imagenet'"):
        datasets.load("imagenet")


def test_digits_are_scikit_learns_split_once():
    data = datasets.load("digits", seed=3)
    images, labels = sklearn.datasets.load_digits(return_X_y=True)

    together = np.concatenate([data.x_train, data.x_test]).reshape(-1, 64) * 16
    order = np.lexsort(np.c_[together, np.concatenate([data.y_train, data.y_test])].T)
    expected = np.lexsort(np.c_[images, labels].T)
    np.testing.assert_array_equal(together[order], images[expected])
    assert data.x_train.shape == (1437, 8, 8, 1)
    assert data.x_train.dtype == np.float32 and data.y_train.dtype == np.int32
    assert np.max(np.abs(np.bincount(data.y_test) - 0.2 * np.bincount(labels))) <= 1


@pytest.mark.parametrize("name", ["digits", "two_moons"])
def test_the_seed_decides_the_split(name):
    first, again, other = (datasets.load(name, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.x_train, again.x_train)
    assert not np.array_equal(first.x_train, other.x_train)


def test_two_moons_lie_on_two_half_circles():
    data = datasets.load("two_moons")
    centers = np.array([[0.0, 0.0], [1.0, 0.5]])[data.y_train]
    distance = np.linalg.norm(data.x_train - centers, axis=1)
    assert abs(np.mean(distance) - 1.0) < 0.01
    assert abs(np.std(distance) - 0.05) < 0.01


def test_labels_as_one_hot_rows():
    data = datasets.load("digits")
    assert data.y_test_onehot.dtype == np.float32
    np.testing.assert_array_equal(np.argmax(data.y_test_onehot, axis=1), data.y_test)
    np.testing.assert_array_equal(data.y_train_onehot.sum(axis=1), np.ones(1437))


def test_a_regression_has_no_one_hot_labels():
    data = datasets.load("digits")._replace(classes=(), name="wine")
    with pytest.raises(ValueError, match="`wine` is a regression"):
        _ = data.y_train_onehot


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mnist", "mnist.npz"),
        ("fashion_mnist", "fashion_mnist.npz"),
        ("cifar10", "cifar10_jpeg.npz"),
        ("cifar100", "cifar100.npz"),
        ("svhn", "svhn.npz"),
        ("stl10", "stl10.npz.*lipot.datasets."),
        ("celeba_eyeglasses", "celeba_eyeglasses.npz"),
        ("tiny_imagenet", "tiny-imagenet-200.zip"),
        ("wine", "winequality-red.csv"),
        ("pbmc68k", "pbmc68k_reduced.npz"),
    ],
)
def test_offline_error_is_one_line_that_says_what_to_do(name, file, offline):
    with pytest.raises(OSError, match=f"`{name}`.*Set LIPOT_DATA_DIR.*{file}") as caught:
        datasets.load(name)
    assert "\n" not in str(caught.value)


def test_mnist_with_other_pixels_is_refused(folder):
    images, labels = np.zeros((3, 28, 28), "uint8"), np.zeros(3, "uint8")
    arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    np.savez(folder / "mnist.npz", **arrays)
    with pytest.raises(ValueError, match="`mnist` is damaged .*mnist.npz"):
        datasets.load("mnist")


def test_a_file_without_the_arrays_names_them(folder):
    np.savez(folder / "mnist.npz", pixels=np.zeros(3))
    with pytest.raises(ValueError, match="x_train, y_train, x_test, y_test. Received: pixels"):
        datasets.load("mnist")


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("mnist", "mnist.npz", b"PK\x03\x04 cut off"),
        ("cifar10", "cifar10.npz", b""),
        ("pbmc68k", "pbmc68k_reduced.npz", b"<html>not found</html>"),
        ("wine", "winequality-red.csv", b"a,b\n1,2\n3"),
    ],
)
def test_a_file_of_something_else_is_named(folder, name, file, content):
    (folder / file).write_bytes(content)
    with pytest.raises(ValueError, match=f"{file} is damaged.*Delete the file"):
        datasets.load(name)


def test_a_folder_that_is_none_is_told_from_one_without_the_file(monkeypatch, tmp_path, offline):
    for folder, said in (("", "is not set"), (tmp_path / "none", "is no folder")):
        monkeypatch.setenv("LIPOT_DATA_DIR", str(folder))
        with pytest.raises(OSError, match=said):
            datasets.load("mnist")


def test_a_downloaded_mnist_is_checked_too(monkeypatch):
    monkeypatch.delenv("LIPOT_DATA_DIR", raising=False)
    part = (np.zeros((2, 28, 28), "uint8"), np.zeros(2, "uint8"))
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: (part, part))
    with pytest.raises(ValueError, match=r"`mnist` is damaged \(download\)"):
        datasets.load("mnist")


def test_cifar10_of_another_size_is_refused(folder):
    images, labels = np.zeros((3, 32, 32, 3), "uint8"), np.zeros((3, 1), "uint8")
    arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    np.savez(folder / "cifar10.npz", **arrays)
    with pytest.raises(ValueError, match="`cifar10` is damaged.*50000"):
        datasets.load("cifar10")


def test_jpegs_come_back_in_order(tmp_path):
    shades = [10, 250, 120]
    encoded = []
    for shade in shades:
        stream = io.BytesIO()
        Image.fromarray(np.full((32, 32, 3), shade, "uint8")).save(stream, "JPEG")
        encoded.append(stream.getvalue())
    part = {
        "jpeg": np.frombuffer(b"".join(encoded), "uint8"),
        "offset": np.cumsum([0] + [len(image) for image in encoded]),
        "y": np.arange(3, dtype="uint8"),
    }
    arrays = {f"{key}_{half}": value for key, value in part.items() for half in ("train", "test")}
    np.savez(tmp_path / "cifar10_jpeg.npz", **arrays)

    x_train, y_train, x_test, y_test = reading.read_jpegs(tmp_path / "cifar10_jpeg.npz")
    assert x_train.shape == (3, 32, 32, 3)
    np.testing.assert_allclose(x_test.mean(axis=(1, 2, 3)), shades, atol=2)
    np.testing.assert_array_equal(y_train, y_test)


@pytest.mark.parametrize("separator", [",", ";"])
def test_wine_is_scaled_by_its_training_points_alone(folder, monkeypatch, separator):
    table = np.random.default_rng(0).normal(5.0, 2.0, size=(100, 12)).round(3)
    header = [f'"feature {i}"' for i in range(11)] + ["quality"]
    frame = pandas.DataFrame(table, columns=header)
    frame.to_csv(folder / "winequality-red.csv", sep=separator, index=False)
    monkeypatch.setattr(tables, "WINE_SHA256", hashlib.sha256(table.tobytes()).hexdigest())

    wine = datasets.load("wine")
    assert wine.x_train.shape == (80, 11) and wine.y_test.shape == (20,)
    np.testing.assert_allclose(wine.x_train.mean(axis=0), np.zeros(11), atol=1e-6)
    np.testing.assert_allclose(wine.x_train.std(axis=0), np.ones(11), atol=1e-5)
    assert np.max(np.abs(wine.x_test.mean(axis=0))) > 1e-3
    assert set(wine.y_test) <= set(table[:, 11].astype("float32"))


def _cells():
    types = np.array([f"type {i}" for i in range(10)])
    labels = np.repeat(np.arange(10, dtype="int32"), 70)
    return np.random.default_rng(0).normal(size=(700, 765)).astype("float32"), labels, types


def test_pbmc68k_keeps_every_type_in_both_parts(folder):
    x, y, classes = _cells()
    np.savez(folder / "pbmc68k_reduced.npz", x=x, y=y, classes=classes)
    cells = datasets.load("pbmc68k")
    assert cells.x_train.shape == (560, 765)
    np.testing.assert_array_equal(np.bincount(cells.y_test), np.full(10, 14))
    assert cells.classes[3] == "type 3" and cells.clip_values is None


def test_pbmc68k_falls_back_on_scanpy(monkeypatch):
    x, y, classes = _cells()
    labels = pandas.Series(classes[y], dtype="category")
    cells = types.SimpleNamespace(X=x, obs=pandas.DataFrame({"bulk_labels": labels}))
    loader = types.SimpleNamespace(pbmc68k_reduced=lambda: cells)
    monkeypatch.delenv("LIPOT_DATA_DIR", raising=False)
    monkeypatch.setitem(sys.modules, "scanpy", types.SimpleNamespace(datasets=loader))

    loaded = datasets.load("pbmc68k")
    assert loaded.classes == tuple(classes)
    first = np.flatnonzero((x == loaded.x_train[0]).all(axis=1))[0]
    assert loaded.y_train[0] == y[first]


@needs_data
def test_real_mnist_has_its_well_known_mean_and_deviation():
    mnist = datasets.load("mnist")
    assert mnist.x_train.shape == (60000, 28, 28, 1)
    assert abs(mnist.x_train.mean(dtype="float64") - 0.13066) < 1e-5
    assert abs(mnist.x_train.std(dtype="float64") - 0.30811) < 1e-5
    np.testing.assert_array_equal(mnist.y_train[:5], [5, 0, 4, 1, 9])


@needs_data
def test_real_wine_has_its_1279_and_320_points():
    wine = datasets.load("wine")
    assert wine.x_train.shape == (1279, 11) and wine.x_test.shape == (320, 11)
    assert wine.y_train.min() == 3 and wine.y_train.max() == 8
