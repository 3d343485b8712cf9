"""Images that Keras publishes, and what all images are checked for."""

import keras
import numpy as np

from lipot.datasets.dataset import Dataset
from lipot.datasets.reading import check_digest, fetch, local, read_jpegs, read_npz

PARTS = ("x_train", "y_train", "x_test", "y_test")
DIGITS = tuple(str(digit) for digit in range(10))
_CIFAR10_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
_FASHION_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_CIFAR100_CLASSES = (
    *("apple", "aquarium_fish", "baby", "bear", "beaver"),
    *("bed", "bee", "beetle", "bicycle", "bottle"),
    *("bowl", "boy", "bridge", "bus", "butterfly"),
    *("camel", "can", "castle", "caterpillar", "cattle"),
    *("chair", "chimpanzee", "clock", "cloud", "cockroach"),
    *("couch", "crab", "crocodile", "cup", "dinosaur"),
    *("dolphin", "elephant", "flatfish", "forest", "fox"),
    *("girl", "hamster", "house", "kangaroo", "keyboard"),
    *("lamp", "lawn_mower", "leopard", "lion", "lizard"),
    *("lobster", "man", "maple_tree", "motorcycle", "mountain"),
    *("mouse", "mushroom", "oak_tree", "orange", "orchid"),
    *("otter", "palm_tree", "pear", "pickup_truck", "pine_tree"),
    *("plain", "plate", "poppy", "porcupine", "possum"),
    *("rabbit", "raccoon", "ray", "road", "rocket"),
    *("rose", "sea", "seal", "shark", "shrew"),
    *("skunk", "skyscraper", "snail", "snake", "spider"),
    *("squirrel", "streetcar", "sunflower", "sweet_pepper", "table"),
    *("tank", "telephone", "television", "tiger", "tractor"),
    *("train", "trout", "tulip", "turtle", "wardrobe"),
    *("whale", "willow_tree", "wolf", "woman", "worm"),
)
_MNIST_SHA256 = "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16"


def mnist(seed):
    """Handwritten digits, with the checksum of their values."""
    arrays, file = _from_keras("mnist")
    check_digest(arrays, _MNIST_SHA256, "mnist", file)
    return image_dataset("mnist", arrays, DIGITS)


def fashion_mnist(seed):
    """Pieces of clothing, as large and as many as the digits of `mnist`."""
    arrays, file = _from_keras("fashion_mnist")
    check_images("fashion_mnist", arrays, (28, 28), ([6000] * 10, [1000] * 10), file)
    return image_dataset("fashion_mnist", arrays, _FASHION_CLASSES)


def cifar10(seed):
    """Small photographs in ten classes."""
    note = ""
    if not local("cifar10.npz") and (file := local("cifar10_jpeg.npz")):
        arrays = read_jpegs(file)
        note = "Every image was stored as a JPEG, which loses a little of it."
    else:
        arrays, file = _from_keras("cifar10", "cifar10.npz or cifar10_jpeg.npz")
    check_images("cifar10", arrays, (32, 32, 3), ([5000] * 10, [1000] * 10), file)
    return image_dataset("cifar10", arrays, _CIFAR10_CLASSES)._replace(note=note)


def cifar100(seed):
    """The images of a hundred fine classes."""
    arrays, file = _from_keras("cifar100")
    check_images("cifar100", arrays, (32, 32, 3), ([500] * 100, [100] * 100), file)
    return image_dataset("cifar100", arrays, _CIFAR100_CLASSES)


def check_images(name, arrays, shape, counts, file):
    """Checks the shape of images and how many there are of each class.

    Args:
        name: Name of the data set.
        arrays: `x_train, y_train, x_test, y_test`.
        shape: Of one image as it is stored.
        counts: Points of each class, a list for training and one for testing.
        file: Where the arrays are from, or `None` for a download.

    Raises:
        ValueError: Something else was found.
    """
    for part, images, labels, expected in (
        ("training", *arrays[:2], counts[0]),
        ("test", *arrays[2:], counts[1]),
    ):
        labels = np.asarray(labels).reshape(-1)
        whole = labels.dtype.kind in "iu" and len(labels) == len(images) == sum(expected)
        inside = whole and labels.min() >= 0 and labels.max() < len(expected)
        same = inside and np.array_equal(np.bincount(labels, minlength=len(expected)), expected)
        if not same or images.shape[1:] != shape or images.dtype != np.uint8:
            raise ValueError(
                f"`{name}` is damaged ({file or 'download'}). Expected {sum(expected)} {part} "
                f"images of shape {shape} and dtype uint8 in {len(expected)} classes, as many of "
                f"each as were published. Received: {images.shape} of {images.dtype}, "
                f"{len(np.unique(labels))} classes"
            )


def image_dataset(name, arrays, classes):
    """A `Dataset` of images in [0, 1] out of bytes, from `x_train, y_train, x_test, y_test`."""
    x_train, y_train, x_test, y_test = arrays
    return Dataset(
        _to_unit_interval(x_train),
        np.asarray(y_train, "int32").reshape(-1),
        _to_unit_interval(x_test),
        np.asarray(y_test, "int32").reshape(-1),
        name,
        classes,
        (0.0, 1.0),
    )


def _from_keras(name, wanted=None):
    """The four arrays of a set that `keras.datasets` knows, and the file they are from."""
    if file := local(f"{name}.npz"):
        return read_npz(file, PARTS), file
    module = getattr(keras.datasets, name)
    return fetch(name, wanted or f"{name}.npz", lambda: module.load_data()), None


def _to_unit_interval(images):
    images = images[..., np.newaxis] if images.ndim == 3 else images
    return images.astype("float32") / np.float32(255.0)
