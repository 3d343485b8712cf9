"""The archive of Tiny ImageNet: 200 classes of small photographs."""

import hashlib
import io
import pathlib
import zipfile

import keras
import numpy as np

from lipot import extras
from lipot.datasets.images import PARTS, check_images, image_dataset
from lipot.datasets.reading import fetch, local, read_npz

ARCHIVE = "tiny-imagenet-200.zip"
MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
_URL = f"http://cs231n.stanford.edu/{ARCHIVE}"
# Images of each class in training and validation.
COUNTS = (500, 50)


def tiny_imagenet(seed):
    """Training and validation images; those for testing were published without labels."""
    if file := local("tiny_imagenet.npz"):
        *arrays, classes = read_npz(file, (*PARTS, "classes"))
    else:
        file = local(ARCHIVE)
        archive = file or fetch(
            "tiny_imagenet",
            f"{ARCHIVE} or tiny_imagenet.npz",
            lambda: keras.utils.get_file(ARCHIVE, _URL),
        )
        _check_archive(archive)
        arrays, classes = _read(archive)
    counts = tuple([count] * len(classes) for count in COUNTS)
    check_images("tiny_imagenet", arrays, (64, 64, 3), counts, file)
    return image_dataset("tiny_imagenet", arrays, tuple(str(name) for name in classes))


def _check_archive(archive):
    with pathlib.Path(archive).open("rb") as stream:
        digest = hashlib.file_digest(stream, "md5").hexdigest()
    if digest != MD5:
        raise ValueError(
            f"`tiny_imagenet` is damaged ({archive}). Expected an archive with MD5 {MD5}. "
            f"Received: {digest}. Delete the file, or replace it by a good copy."
        )


def _read(archive):
    """The four arrays in an archive, and the names of the classes."""
    with zipfile.ZipFile(archive) as files:
        root = "tiny-imagenet-200"
        numbers = {word: number for number, word in enumerate(_lines(files, f"{root}/wnids.txt"))}
        words = dict(line.split("\t")[:2] for line in _lines(files, f"{root}/words.txt"))
        classes = [words.get(word, word).partition(",")[0] for word in numbers]
        training = sorted(
            name
            for name in files.namelist()
            if name.startswith(f"{root}/train/") and name.endswith(".JPEG")
        )
        labels = [numbers[name.split("/")[2]] for name in training]
        notes = [line.split("\t") for line in _lines(files, f"{root}/val/val_annotations.txt")]
        held_out = [f"{root}/val/images/{note[0]}" for note in notes]
        x_train, x_test = (_decoded(files, names) for names in (training, held_out))
    return [x_train, np.array(labels), x_test, np.array([numbers[n[1]] for n in notes])], classes


def _lines(files, name):
    return files.read(name).decode().splitlines()


def _decoded(files, names):
    with extras.named():
        from PIL import Image

    # Some images are grey.
    read = (Image.open(io.BytesIO(files.read(name))).convert("RGB") for name in names)
    return np.stack([np.asarray(image) for image in read])
