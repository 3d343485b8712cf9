"""Images that come through `tensorflow-datasets`, or from a file of their arrays."""

import io

import numpy as np

from lipot import extras
from lipot.datasets.images import DIGITS, PARTS, check_images, image_dataset
from lipot.datasets.reading import fetch, local, read_npz

_SVHN = (
    (4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659),
    (1744, 5099, 4149, 2882, 2523, 2384, 1977, 2019, 1660, 1595),
)
_STL10_CLASSES = (
    *("airplane", "bird", "car", "cat", "deer"),
    *("dog", "horse", "monkey", "ship", "truck"),
)
# Faces without and with eyeglasses in each half: 16914, of which 38 % have some.
_FACES = (10487, 6427)
_REMEDY = "run `pip install 'lipot[datasets]'` and go online"


def svhn(seed):
    """Digits of house numbers, the cropped ones."""
    return _published("svhn", "svhn_cropped", (32, 32, 3), _SVHN, DIGITS)


def stl10(seed):
    """The labelled photographs of STL-10."""
    counts = ([500] * 10, [800] * 10)
    return _published("stl10", "stl10", (96, 96, 3), counts, _STL10_CLASSES)


def celeba_eyeglasses(seed):
    """Faces with and without eyeglasses, drawn so that 38 % have some."""
    name = "celeba_eyeglasses"
    arrays, file = _arrays(name, lambda: _draw_faces(seed))
    check_images(name, arrays, (128, 128, 3), (_FACES, _FACES), file)
    return image_dataset(name, arrays, ("none", "eyeglasses"))


def _published(name, published, shape, counts, classes):
    arrays, file = _arrays(name, lambda: _both_parts(published))
    check_images(name, arrays, shape, counts, file)
    return image_dataset(name, arrays, classes)


def _arrays(name, download):
    if file := local(f"{name}.npz"):
        return read_npz(file, PARTS), file
    return fetch(name, f"{name}.npz", download, _REMEDY), None


def _both_parts(published):
    """Images and labels of the official split, as NumPy arrays."""
    with extras.named():
        import tensorflow_datasets

    arrays = []
    for part in ("train", "test"):
        # The whole part as one batch.
        data = tensorflow_datasets.load(published, split=part, batch_size=-1, as_supervised=True)
        arrays += [np.asarray(array) for array in tensorflow_datasets.as_numpy(data)]
    return arrays


def _draw_faces(seed):
    """Takes as many faces of both kinds as the paper has, from all of CelebA."""
    with extras.named():
        import tensorflow_datasets as published
        from PIL import Image

    # Two hundred thousand images: only those that are drawn are decoded.
    stored = {"image": published.decode.SkipDecoding()}
    data = published.load("celeb_a", split="all", decoders=stored, shuffle_files=False)
    glasses = np.array([row["attributes"]["Eyeglasses"] for row in published.as_numpy(data)])
    generator = np.random.default_rng(seed)
    chosen = np.full(len(glasses), -1)
    for kind, count in enumerate(_FACES):
        drawn = generator.permutation(np.flatnonzero(glasses == bool(kind)))[: 2 * count]
        chosen[drawn] = np.arange(len(drawn)) % 2
    halves = [[], []]
    for half, row in zip(chosen, published.as_numpy(data)):
        if half >= 0:
            image = Image.open(io.BytesIO(row["image"])).convert("RGB")
            halves[half].append((_centered(image), int(row["attributes"]["Eyeglasses"])))
    pairs = [np.stack(column) for half in halves for column in zip(*half)]
    return pairs


def _centered(image):
    """The middle of an aligned face, 178 of 218 rows, at 128 x 128 pixels."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)).resize((128, 128)), "uint8")
