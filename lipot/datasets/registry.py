"""Every data set by its name. Adding one is a line here, and a function of a seed it points to."""

from lipot import checks
from lipot.datasets import drawn, images, published, tables, tiny_imagenet

# What loads each: a function from a seed to a `Dataset`.
SOURCES = {
    "celeba_eyeglasses": published.celeba_eyeglasses,
    "cifar10": images.cifar10,
    "cifar100": images.cifar100,
    "digits": drawn.digits,
    "fashion_mnist": images.fashion_mnist,
    "mnist": images.mnist,
    "pbmc68k": tables.pbmc68k,
    "stl10": published.stl10,
    "svhn": published.svhn,
    "tiny_imagenet": tiny_imagenet.tiny_imagenet,
    "two_moons": drawn.two_moons,
    "wine": tables.wine,
}


def load(name, *, seed=0):
    """Loads a data set: from the folder `LIPOT_DATA_DIR` if it is there, else from the network.

    | name                | points         | one point     | file, and what it is                  |
    |---------------------|----------------|---------------|---------------------------------------|
    | `digits`            | 1437 + 360     | (8, 8, 1)     | digits bundled with scikit-learn      |
    | `two_moons`         | 2000 + 1000    | (2,)          | two half circles, drawn anew          |
    | `mnist`             | 60000 + 10000  | (28, 28, 1)   | `mnist.npz`                           |
    | `fashion_mnist`     | 60000 + 10000  | (28, 28, 1)   | `fashion_mnist.npz`                   |
    | `cifar10`           | 50000 + 10000  | (32, 32, 3)   | `cifar10.npz` or `cifar10_jpeg.npz`   |
    | `cifar100`          | 50000 + 10000  | (32, 32, 3)   | `cifar100.npz`, 100 fine classes      |
    | `svhn`              | 73257 + 26032  | (32, 32, 3)   | `svhn.npz`, digits of house numbers   |
    | `stl10`             | 5000 + 8000    | (96, 96, 3)   | `stl10.npz`, the labelled images      |
    | `tiny_imagenet`     | 100000 + 10000 | (64, 64, 3)   | `tiny-imagenet-200.zip`, 200 classes  |
    | `celeba_eyeglasses` | 16914 + 16914  | (128, 128, 3) | `celeba_eyeglasses.npz`, faces        |
    | `wine`              | 1279 + 320     | (11,)         | `winequality-red.csv`, a regression   |
    | `pbmc68k`           | 560 + 140      | (765,)        | `pbmc68k_reduced.npz`, cells          |

    Where there is no official split, one fifth of the points is set aside for testing, with the
    same share of every class. The features of `wine` are scaled to mean 0 and variance 1 over its
    training points; those of `pbmc68k` come scaled.

    Files of images hold `x_train`, `y_train`, `x_test` and `y_test`, with pixels from 0 to 255.
    What is not there comes from where Keras publishes it, or, for `svhn`, `stl10` and
    `celeba_eyeglasses`, through `tensorflow-datasets` (`pip install 'lipot[datasets]'`). Values
    are compared with a checksum where there is one, else their shapes and the number of points in
    each class are. `tiny_imagenet` tests on its validation images, as its test images have no
    labels. `celeba_eyeglasses` is drawn from CelebA by `seed`, as in the paper of hinge-KR, and
    takes 7 GB.

    Args:
        name: One of the names above.
        seed: Integer. Draws `two_moons`, `celeba_eyeglasses` and every split that is not
            official.

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
    if name not in SOURCES:
        raise checks.invalid("name", f"one of {', '.join(names())}", name)
    return SOURCES[name](seed)


def names():
    """Lists the names that `load` knows.

    Example:

    >>> names()
    ('celeba_eyeglasses', 'cifar10', 'cifar100', ...'digits', ..., 'two_moons', 'wine')
    """
    return tuple(sorted(SOURCES))
