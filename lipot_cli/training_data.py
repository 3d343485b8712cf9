"""The data set that `lipot train` is given by name or by file."""

import pathlib

import numpy as np

from lipot import checks, datasets, notices
from lipot_cli.options import check_input
from lipot_cli.points import read_arrays

_SPLIT = ("x_train", "y_train", "x_test", "y_test")


def read_dataset(source, seed=0):
    """Reads a data set from its name or from a file.

    Args:
        source: One of `lipot.datasets.names()`, or the path of an `.npz` file.
        seed: Draws the fifth of the points that is tested on, where a file does not say which.

    Returns:
        `lipot.datasets.Dataset`.
    """
    if source in datasets.names():
        return datasets.load(source)
    check_input(source, f"an .npz file, or one of: {', '.join(datasets.names())}")
    arrays = read_arrays(source, _SPLIT, ("x", "y"))
    if len(arrays) == 2:
        arrays = _split(*arrays, seed)
    x_train, y_train, x_test, y_test = arrays
    for x in (x_train, x_test):
        _check_inputs(source, x, x_train)
    labels = [np.asarray(y) for y in (y_train, y_test)]
    classes = _classes(source, *labels)
    y_train, y_test = (
        checks.labels(y, len(x), classes).astype("int32") for x, y in zip((x_train, x_test), labels)
    )
    _warn_of_unseen(source, y_train, classes)
    names = tuple(str(number) for number in range(classes))
    x_train, x_test = x_train.astype("float32"), x_test.astype("float32")
    parts, clip_values = (x_train, y_train, x_test, y_test), _clip_values(x_train, x_test)
    return datasets.Dataset(*parts, pathlib.Path(source).stem, names, clip_values)


def parts_at_random(source):
    """Whether a source does not say which points are for testing, so that `read_dataset` draws."""
    if source in datasets.names():
        return False
    with np.load(source, allow_pickle=False) as arrays:
        return not set(_SPLIT) <= set(arrays.files)


def _split(x, y, seed):
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y) or len(x) < 5:
        raise ValueError(
            "Expected x and y of as many points, five or more. "
            f"Received: shapes {x.shape} and {y.shape}"
        )
    order = np.random.default_rng(seed).permutation(len(x))
    test, train = order[: len(x) // 5], order[len(x) // 5 :]
    return x[train], y[train], x[test], y[test]


def _clip_values(*points):
    """The range that `lipot evaluate` recognizes, that of images in [0, 1]; `None` elsewhere."""
    from lipot.evaluation.run.ranges import UnknownRange, find_range

    try:
        return [find_range(x)[:2] for x in points][0]
    except UnknownRange:
        return None


def _check_inputs(source, x, others):
    if x.shape[1:] != others.shape[1:]:
        raise ValueError(
            f"The inputs in {source} do not belong together. Expected x_train and x_test of inputs "
            f"of one shape. Received: shapes {others.shape} and {x.shape}"
        )
    fits = x.ndim in (2, 4) and len(x) and not _are_channels_first(x)
    strays = np.sum(~np.isfinite(x)) if x.dtype.kind == "f" else 0
    if not fits or x.dtype.kind != "f" or strays:
        found = f", {strays} of its values NaN or infinite" if strays else ""
        raise ValueError(
            f"The inputs in {source} cannot be trained on. Expected finite floats, scaled, of "
            "shape (points, features) or (points, rows, columns, channels). "
            f"Received: {x.dtype} of shape {x.shape}{found}" + _remedy(x)
        )


def _are_channels_first(x):
    """Whether these must be square images whose channels come before rows and columns."""
    return x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[2] == x.shape[3] > 4


def _remedy(x):
    """What to do about inputs that cannot be trained on, where it is plain."""
    if _are_channels_first(x):
        return ". The channels come last: x.transpose(0, 2, 3, 1)"
    if x.ndim == 3:
        return ". Of gray images, x[..., None] has a channel"
    return ". Divide bytes by 255" if x.dtype == np.uint8 else ""


def _classes(source, *labels):
    """How many classes labels tell apart."""
    if all(y.ndim == 2 and y.shape[1] > 1 for y in labels):
        return labels[0].shape[1]
    if not all(_are_whole(y) for y in labels):
        kinds = ", ".join(str(y.dtype) for y in labels)
        raise ValueError(
            f"The labels in {source} are no class numbers. Expected whole numbers from 0 on, or "
            f"one-hot rows; {checks.NUMBERED} makes such of names. Received: {kinds}"
        )
    found = np.unique(np.concatenate([y.ravel() for y in labels]))
    if found[0] != 0 or len(found) < 2:
        raise ValueError(
            f"The labels in {source} do not begin at 0, or name one class alone. Expected two "
            f"classes or more, numbered from 0; {checks.NUMBERED} makes such numbers. "
            f"Received: classes {found[:10].tolist()}"
        )
    return 1 + int(found[-1])


def _warn_of_unseen(source, y_train, classes):
    """Warns of classes that no point to train on has, such as one in the test points alone."""
    unseen = np.setdiff1d(np.arange(classes), y_train)
    if len(unseen):
        few = ", ".join(map(str, unseen[:5])) + (", ..." if len(unseen) > 5 else "")
        notices.warn(
            f"No point of {source} that is trained on is of class {few}: of {classes} classes, "
            f"counted from 0, {len(unseen)} cannot be learned.",
        )


def _are_whole(y):
    return y.dtype.kind in "iub" or (y.dtype.kind == "f" and bool(np.all(y == np.floor(y))))
