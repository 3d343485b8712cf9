"""Stored training points and features, as weights that a model saves with the rest."""

import keras
import numpy as np
from keras import ops

from lipot.backend.keras_graph import replacing_weights


@keras.saving.register_keras_serializable(package="lipot")
class NeighborMemory(keras.layers.Layer):
    """Points, their features and, for a learned metric, their codes.

    Holds nothing until `store`. Its shapes are part of the saved build configuration, so that a
    loaded model has room for the weights.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:

    >>> memory = NeighborMemory()
    >>> memory.store(np.eye(3, dtype="float32"), 2 * np.eye(3, dtype="float32"), None, (3,))
    >>> memory.size, memory.sample_shape
    (3, (3,))
    """

    def __init__(self, **kwargs):
        super().__init__(trainable=False, **kwargs)
        self.size = 0
        self.sample_shape = ()
        self.points = self.features = self.codes = self.norms = None

    def store(self, points, features, codes, sample_shape):
        """Replaces what is held.

        Args:
            points: Array `(n, d)`.
            features: Array `(n, d)`.
            codes: Array `(n, m)`, or None where the points themselves are searched.
            sample_shape: Shape of one point before flattening.
        """
        self._allocate(
            len(points),
            sample_shape,
            None if codes is None else codes.shape[1],
            points,
            features,
            codes,
        )

    def take(self, indices):
        """Returns points and features by row, `(batch, K) -> 2 x (batch, K, d)`."""
        return ops.take(self.points, indices, axis=0), ops.take(self.features, indices, axis=0)

    def search_space(self):
        """Returns what neighbors are searched among, and its squared norms."""
        return ops.convert_to_tensor(self.points if self.codes is None else self.codes), self.norms

    def get_build_config(self):
        if not self.size:
            return {}
        width = None if self.codes is None else int(self.codes.shape[1])
        return {"size": self.size, "sample_shape": list(self.sample_shape), "code_width": width}

    def build_from_config(self, config):
        if config:
            self._allocate(config["size"], config["sample_shape"], config["code_width"])

    def get_config(self):
        config = super().get_config()
        del config["trainable"]
        return config

    def _allocate(self, size, sample_shape, width, points=None, features=None, codes=None):
        # A second adapt() may bring another number of points: the weights are made anew.
        with replacing_weights(self):
            self._add_weights(size, sample_shape, width, points, features, codes)
        self.built = True

    def _add_weights(self, size, sample_shape, width, points, features, codes):
        dimension = int(np.prod(sample_shape))
        self.size = int(size)
        self.sample_shape = tuple(int(side) for side in sample_shape)
        self.points = self._weight("points", (size, dimension), points)
        self.features = self._weight("features", (size, dimension), features)
        self.codes = None if width is None else self._weight("codes", (size, width), codes)
        searched = points if codes is None else codes
        norms = None if searched is None else _squared_norms(searched)
        self.norms = self._weight("norms", (size,), norms)

    def _weight(self, name, shape, value):
        initializer = "zeros" if value is None else (lambda *_, **__: ops.convert_to_tensor(value))
        return self.add_weight(
            name=name, shape=shape, initializer=initializer, trainable=False, dtype="float32"
        )


def _squared_norms(rows):
    return np.einsum("nd,nd->n", rows, rows, dtype="float64").astype("float32")
