"""What the recipes read off a data set where nothing else is given."""

import numpy as np


def spread(points):
    """Root of the mean squared l2 distance of points from their mean.

    Example:

    >>> import numpy as np
    >>> spread(np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 4.0], [0.0, -4.0]])) == 12.5**0.5
    True
    """
    return float(np.sqrt(np.sum(np.var(points, axis=0, dtype="float64"))))


def default_radius(data):
    """The l2 radius to train for where none is given: a tenth of the spread of the points.

    Example:

    >>> from lipot import datasets
    >>> round(default_radius(datasets.load("digits")), 3)
    0.216
    """
    return 0.1 * spread(data.x_train)


def attack_range(data):
    """The arguments of an attack that keep its points in the range of a data set."""
    low, high = data.clip_values or (None, None)
    return {"clip_min": low, "clip_max": high}


def default_eps(data):
    """The l-infinity radius to train against where none is given: a tenth of the range of data.

    Of colour images it is 8/255 of the range, as the field takes it: a tenth hides what is on
    them. Of data without a range, such as tables, it is a tenth of their standard deviation.

    Args:
        data: A `lipot.datasets.Dataset`.

    Example:

    >>> from lipot import datasets
    >>> default_eps(datasets.load("digits"))
    0.1
    """
    if data.clip_values is not None:
        low, high = data.clip_values
        colour = data.x_train.ndim == 4 and data.x_train.shape[-1] == 3
        return (8 / 255 if colour else 0.1) * (high - low)
    return 0.1 * float(np.std(data.x_train))
