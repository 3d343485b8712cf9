"""Neighborhoods with their exact solutions, which a CIP-net learns to answer."""

import math

import keras
import numpy as np
from keras import ops

from lipot import checks
from lipot.models.otad import OTAD


class InterpolationData(keras.utils.PyDataset):
    r"""Batches of neighborhoods with their exact solutions, to train a `CIPNet` with `"mse"`.

    Every point is answered from its neighbors without itself. The loss (24),
    $\alpha |c - q|^2 + (1 - \alpha) |c - \tilde z|^2$ for the exact solution q and the network's
    own feature $\tilde z$, differs from $|c - (\alpha q + (1 - \alpha) \tilde z)|^2$ by a
    constant, so the mixture is the target. Problems are solved batch by batch, each when it is
    first asked for.

    Args:
        otad: An adapted `OTAD`, which solves the problems.
        x: Training inputs it was adapted to, array `(n, ...)`.
        alpha: Share of the exact solution in the target, between 0 and 1.
        batch_size: Positive int, neighborhoods in a batch.
        seed: Seed of the order, drawn anew for every epoch.
        keep: Whether targets and the places of neighbors stay in memory, `4 n (d + K)` bytes, so
            that later epochs look them up: they are those of the `otad` as it was in the first.
            `False` to solve every problem anew in each epoch.
        **kwargs: Arguments of `keras.utils.PyDataset`.

    Reference:
        Gai, Wang and Zhang, "OTAD", equations 19 and 24.

    Example:

    >>> from lipot.models import OTAD
    >>> backbone = keras.Sequential([keras.Input((3,)), keras.layers.Rescaling(2.0)])
    >>> x = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
    >>> data = InterpolationData(OTAD(backbone, backbone, 4).adapt(x), x, batch_size=8)
    >>> (query, neighbors, features), target = data[0]
    >>> neighbors.shape, target.shape
    ((8, 4, 3), (8, 3))
    """

    def __init__(self, otad, x, *, alpha=1.0, batch_size=32, seed=0, keep=True, **kwargs):
        super().__init__(**kwargs)
        checks.instance("otad", otad, OTAD, "an adapted OTAD")
        alpha = checks.probability("alpha", alpha)
        if otad.memory.size <= otad.neighbors:
            raise checks.refused(
                "otad",
                f"more stored points than neighbors={otad.neighbors}",
                str(otad.memory.size),
            )
        self.otad = otad
        self.x = np.asarray(x, "float32")
        self.alpha = float(alpha)
        self.batch_size = checks.positive_int("batch_size", batch_size)
        self.rng = np.random.default_rng(seed)
        self.order = self.rng.permutation(len(self.x))
        self.keep = checks.boolean("keep", keep)
        if self.keep:
            self._solved = np.zeros(len(self.x), bool)
            self._indices = np.empty((len(self.x), otad.neighbors), "int32")
            self._targets = np.empty((len(self.x), math.prod(otad.memory.sample_shape)), "float32")

    def __len__(self):
        return -(-len(self.x) // self.batch_size)

    def __getitem__(self, index):
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        query, indices, target = self._answers(rows)
        neighbors = map(ops.convert_to_numpy, self.otad.memory.take(indices))
        return (query, *neighbors), target

    def on_epoch_end(self):
        self.rng.shuffle(self.order)

    def _answers(self, rows):
        """Queries of some points, places of their neighbors, and targets: solved, or looked up."""
        x = self.x[rows]
        if self.keep and np.all(self._solved[rows]):
            return self.otad.queries(x), self._indices[rows], self._targets[rows]
        query, indices, exact, own = self.otad.left_out(x)
        target = self.alpha * exact + (1.0 - self.alpha) * own
        if self.keep:
            self._indices[rows], self._targets[rows] = indices, target
            # Last, for the threads of `workers`, which may look at any time.
            self._solved[rows] = True
        return query, indices, target
