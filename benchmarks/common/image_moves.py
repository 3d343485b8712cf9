"""Crops and mirror images, in NumPy alone: environments without lipot use them too."""

import numpy as np

# Pixels of border around an image before it is cropped to its size.
BORDER = 4


def moved(images, generator):
    """Crops images `(n, h, w, c)` at random out of a border of zeros, and mirrors half of them."""
    count, height, width, _ = images.shape
    border = ((0, 0), (BORDER, BORDER), (BORDER, BORDER), (0, 0))
    top, left = generator.integers(0, 2 * BORDER + 1, (2, count, 1))
    columns = np.arange(width)
    mirrored = generator.random((count, 1)) < 0.5
    rows = top + np.arange(height)
    columns = left + np.where(mirrored, columns[::-1], columns)
    samples = np.arange(count)[:, None, None]
    return np.pad(images, border)[samples, rows[:, :, None], columns[:, None, :]]
