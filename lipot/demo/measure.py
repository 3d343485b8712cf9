"""What the demo measures on a trained network."""

from typing import Any, NamedTuple

import numpy as np


class DecisionMap(NamedTuple):
    """A function on a grid of the plane: `values[row, column]` at `(x[column], y[row])`."""

    x: Any
    y: Any
    values: Any


def decision_map(model, points, *, size=160, border=0.4):
    """Evaluates a function of the plane on a grid around some points.

    Args:
        model: A Keras model from `(n, 2)` to `(n, 1)`.
        points: The points, `(n, 2)`.
        size: Grid points on each axis.
        border: Distance between the points and the edge of the grid.

    Returns:
        `DecisionMap`.
    """
    low, high = points.min(axis=0) - border, points.max(axis=0) + border
    grid_x, grid_y = (np.linspace(low[i], high[i], size) for i in range(2))
    grid = np.stack(np.meshgrid(grid_x, grid_y), axis=-1).reshape(-1, 2).astype("float32")
    values = model.predict(grid, batch_size=4096, verbose=0)
    return DecisionMap(grid_x, grid_y, np.asarray(values).reshape(size, size))
