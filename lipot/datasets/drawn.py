"""Data sets that scikit-learn carries or draws."""

from lipot import extras
from lipot.datasets.dataset import Dataset
from lipot.datasets.reading import split


def digits(seed):
    """Digits of 8 x 8 pixels, split by `seed`."""
    with extras.named():
        from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16.0).astype("float32").reshape(-1, 8, 8, 1)
    classes = tuple(str(digit) for digit in range(10))
    return Dataset(*split(x, y, seed, stratify=True), "digits", classes, (0.0, 1.0))


def two_moons(seed):
    """Two interleaved half circles in the plane."""
    with extras.named():
        from sklearn.datasets import make_moons

    x, y = make_moons(n_samples=3000, noise=0.05, random_state=seed)
    x, y = x.astype("float32"), y.astype("int32")
    return Dataset(x[:2000], y[:2000], x[2000:], y[2000:], "two_moons", ("upper", "lower"))
