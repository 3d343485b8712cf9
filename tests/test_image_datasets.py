"""Loaders of images, on small files of the same format: what cannot be had is made here."""

import hashlib
import io
import sys
import types
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image

from lipot import datasets
from lipot.datasets import images, published, tiny_imagenet

RNG = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LIPOT_DATA_DIR", str(tmp_path))
    return tmp_path


def parts(shape, counts):
    """Random images with so many of each class, shuffled: the arrays of a file."""
    found = {}
    for part, numbers in zip(("train", "test"), counts):
        labels = RNG.permutation(np.repeat(np.arange(len(numbers)), numbers))
        found[f"x_{part}"] = RNG.integers(0, 256, (len(labels), *shape), "uint8")
        found[f"y_{part}"] = labels
    return found


def check(data, arrays, shape, classes):
    assert data.x_train.shape == (len(arrays["x_train"]), *shape)
    assert data.x_train.dtype == np.float32 and data.y_train.dtype == np.int32
    assert data.clip_values == (0.0, 1.0) and len(data.classes) == classes
    for part in ("train", "test"):
        stored = arrays[f"x_{part}"].reshape(-1, *shape)
        np.testing.assert_allclose(getattr(data, f"x_{part}"), stored / 255.0, atol=1e-6)
        labels = np.reshape(arrays[f"y_{part}"], -1)
        np.testing.assert_array_equal(getattr(data, f"y_{part}"), labels)


@pytest.fixture
def small(monkeypatch):
    """Asks for few points of each class in place of the published numbers."""
    full = images.check_images
    seen = {}

    def few(name, arrays, shape, counts, file):
        seen[name] = counts
        full(name, arrays, shape, [[2] * len(counts[0]), [1] * len(counts[1])], file)

    for module in (images, published, tiny_imagenet):
        monkeypatch.setattr(module, "check_images", few)
    return seen


CASES = [
    ("fashion_mnist", (28, 28), 10, (60000, 10000)),
    ("cifar100", (32, 32, 3), 100, (50000, 10000)),
    ("svhn", (32, 32, 3), 10, (73257, 26032)),
    ("stl10", (96, 96, 3), 10, (5000, 8000)),
    ("celeba_eyeglasses", (128, 128, 3), 2, (16914, 16914)),
]


@pytest.mark.parametrize(("name", "shape", "classes", "sizes"), CASES)
def test_a_file_of_arrays_is_read(name, shape, classes, sizes, folder, small):
    arrays = parts(shape, ([2] * classes, [1] * classes))
    np.savez(folder / f"{name}.npz", **arrays)
    check(datasets.load(name), arrays, (*shape, 1)[:3], classes)
    assert tuple(map(sum, small[name])) == sizes


@pytest.mark.parametrize(("name", "shape", "classes", "sizes"), CASES)
def test_a_file_of_another_size_is_refused(name, shape, classes, sizes, folder):
    np.savez(folder / f"{name}.npz", **parts(shape, ([2] * classes, [1] * classes)))
    with pytest.raises(ValueError, match=rf"`{name}` is damaged .*Expected {sizes[0]} training"):
        datasets.load(name)


@pytest.mark.parametrize("fault", ["a class short", "floats", "other shape", "label", "rows"])
def test_what_differs_is_refused(fault):
    arrays = parts((4, 4, 3), ([3] * 3, [2] * 3))
    x_train, y_train, x_test, y_test = arrays.values()
    if fault == "a class short":
        y_train[np.flatnonzero(y_train == 2)[0]] = 0
    elif fault == "floats":
        x_test = x_test / 255.0
    elif fault == "other shape":
        x_test = x_test[..., :1]
    elif fault == "label":
        y_test[0] = 3
    else:
        x_train = x_train[:-1]
    good = [*parts((4, 4, 3), ([3] * 3, [2] * 3)).values()]
    images.check_images("set", good, (4, 4, 3), ([3] * 3, [2] * 3), None)
    with pytest.raises(ValueError, match=r"`set` is damaged \(download\)"):
        arrays = (x_train, y_train, x_test, y_test)
        images.check_images("set", arrays, (4, 4, 3), ([3] * 3, [2] * 3), None)


@pytest.mark.parametrize(
    ("name", "shape"), [("fashion_mnist", (28, 28)), ("cifar100", (32, 32, 3))]
)
def test_what_keras_publishes_comes_from_there(name, shape, monkeypatch, small):
    classes = 100 if name == "cifar100" else 10
    arrays = parts(shape, ([2] * classes, [1] * classes))
    train, test = ((arrays[f"x_{p}"], arrays[f"y_{p}"][:, None]) for p in ("train", "test"))
    monkeypatch.delenv("LIPOT_DATA_DIR", raising=False)
    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", lambda: (train, test))
    check(datasets.load(name), arrays, (*shape, 1)[:3], classes)


@pytest.mark.parametrize(("name", "published_as"), [("svhn", "svhn_cropped"), ("stl10", "stl10")])
def test_the_rest_comes_through_tensorflow_datasets(name, published_as, monkeypatch, small):
    shape = (96, 96, 3) if name == "stl10" else (32, 32, 3)
    arrays = parts(shape, ([2] * 10, [1] * 10))

    def load(builder, *, split, batch_size, as_supervised):
        assert (builder, batch_size, as_supervised) == (published_as, -1, True)
        return arrays[f"x_{split}"], arrays[f"y_{split}"]

    package = types.SimpleNamespace(load=load, as_numpy=lambda data: data)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", package)
    monkeypatch.delenv("LIPOT_DATA_DIR", raising=False)
    check(datasets.load(name), arrays, shape, 10)


def jpeg(image, kind="JPEG"):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind)
    return stream.getvalue()


def test_faces_are_drawn_with_their_shares_and_never_twice(monkeypatch):
    """Faces whose shade is their number; of 60, every third one with eyeglasses."""
    rows = [
        {
            "image": jpeg(np.full((218, 178, 3), 4 * number, "uint8"), "PNG"),
            "attributes": {"Eyeglasses": number % 3 == 0},
        }
        for number in range(60)
    ]
    package = types.SimpleNamespace(
        load=lambda name, split, decoders, shuffle_files: rows,
        as_numpy=iter,
        decode=types.SimpleNamespace(SkipDecoding=lambda: None),
    )
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", package)
    monkeypatch.delenv("LIPOT_DATA_DIR", raising=False)
    monkeypatch.setattr(published, "_FACES", (12, 7))
    first, again, other = (datasets.load("celeba_eyeglasses", seed=s) for s in (0, 0, 1))
    assert first.x_train.shape == first.x_test.shape == (19, 128, 128, 3)
    assert first.classes == ("none", "eyeglasses") and first.y_train.sum() == 7
    np.testing.assert_array_equal(first.x_train, again.x_train)
    assert not np.array_equal(first.x_train, other.x_train)
    numbers = np.rint(255.0 * np.concatenate([first.x_train, first.x_test])[:, 0, 0, 0] / 4)
    assert len(set(numbers)) == 38
    labels = np.concatenate([first.y_train, first.y_test])
    np.testing.assert_array_equal(numbers % 3 == 0, labels == 1)


def archive(file):
    """An archive as the published one is laid out: 2 classes, 2 images of each, and 1 to test."""
    shades = {}
    with zipfile.ZipFile(file, "w") as files:
        root = "tiny-imagenet-200"
        files.writestr(f"{root}/wnids.txt", "n02\nn01\n")
        files.writestr(f"{root}/words.txt", "n01\tgoldfish, Carassius auratus\nn02\tbullfrog\n")
        notes = []
        for number, word in enumerate(("n02", "n01")):
            for index in range(3):
                shade = 10 + 40 * (3 * number + index)
                shades.setdefault(number, []).append(shade)
                # Some of the published images are grey.
                size = (64, 64) if index else (64, 64, 3)
                place = f"train/{word}/images/{word}_{index}"
                if index == 2:
                    place = f"val/images/val_{number}"
                    notes.append(f"val_{number}.JPEG\t{word}\t0\t0\t9\t9")
                files.writestr(f"{root}/{place}.JPEG", jpeg(np.full(size, shade, "uint8")))
        files.writestr(f"{root}/val/val_annotations.txt", "\n".join(notes[::-1]) + "\n")
    return shades


def test_the_archive_of_tiny_imagenet_is_read_as_it_is(folder, small, monkeypatch):
    file = folder / "tiny-imagenet-200.zip"
    shades = archive(file)
    monkeypatch.setattr(tiny_imagenet, "MD5", hashlib.md5(file.read_bytes()).hexdigest())
    data = datasets.load("tiny_imagenet")
    assert small["tiny_imagenet"] == ([500] * 2, [50] * 2)
    assert data.classes == ("bullfrog", "goldfish")
    assert data.x_train.shape == (4, 64, 64, 3) and data.x_test.shape == (2, 64, 64, 3)
    for x, y, places in ((data.x_train, data.y_train, (0, 1)), (data.x_test, data.y_test, (2,))):
        found = sorted(zip(y.tolist(), np.rint(255 * x.mean(axis=(1, 2, 3))).astype(int).tolist()))
        assert found == [(label, shades[label][place]) for label in (0, 1) for place in places]


def test_another_archive_is_refused(folder):
    archive(folder / "tiny-imagenet-200.zip")
    with pytest.raises(ValueError, match="`tiny_imagenet` is damaged .*MD5"):
        datasets.load("tiny_imagenet")


def test_tiny_imagenet_may_be_a_file_of_arrays(folder, small):
    arrays = parts((64, 64, 3), ([2, 2], [1, 1]))
    np.savez(folder / "tiny_imagenet.npz", **arrays, classes=np.array(["frog", "fish"]))
    data = datasets.load("tiny_imagenet")
    check(data, arrays, (64, 64, 3), 2)
    assert data.classes == ("frog", "fish")
