"""Stored training points and features, as weights that a model saves with the rest."""

import keras
import numpy as np
from keras import ops

from lipot.backend.keras_graph import replacing_weights


@keras.saving.register_keras_serializable(package="lipot")
class NeighborMemory(keras.layers.Layer):
    """Points, their features, and the codes among which neighbors are searched.

    Codes are kept around their mean, which is a weight too: far from the origin float32 has no
    digits left for the distances between them. Holds nothing until `store`. Its shapes are part
    of the saved build configuration, so that a loaded model has room for the weights.

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
        self.points = self.features = self.codes = self.norms = self.center = None

    def store(self, points, features, codes, sample_shape):
        """Replaces what is held.

        Args:
            points: Array `(n, d)`.
            features: Array `(n, d)`.
            codes: Array `(n, m)`, or None where the points themselves are searched.
            sample_shape: Shape of one point before flattening.
        """
        codes = np.asarray(points if codes is None else codes, "float32")
        center = np.mean(codes, axis=0, dtype="float64").astype("float32")
        codes = codes - center
        weights = {"points": points, "features": features, "codes": codes, "center": center}
        weights["norms"] = squared_norms(codes).astype("float32")
        self._allocate(len(points), sample_shape, codes.shape[1], weights)

    def take(self, indices):
        """Returns points and features by row, `(batch, K) -> 2 x (batch, K, d)`."""
        return ops.take(self.points, indices, axis=0), ops.take(self.features, indices, axis=0)

    def search_space(self):
        """Returns the centered codes that neighbors are searched among, and their squared norms."""
        return ops.convert_to_tensor(self.codes), self.norms

    def centered(self, codes):
        """Moves codes of queries to where the stored ones are, `(batch, m)`."""
        return ops.cast(codes, "float32") - self.center

    def get_build_config(self):
        if not self.size:
            return {}
        return {
            "size": self.size,
            "sample_shape": list(self.sample_shape),
            "code_width": int(self.codes.shape[1]),
        }

    def build_from_config(self, config):
        if config:
            self._allocate(config["size"], config["sample_shape"], config["code_width"])

    def get_config(self):
        config = super().get_config()
        del config["trainable"]
        return config

    def _allocate(self, size, sample_shape, width, values=None):
        # A second adapt() may bring another number of points: the weights are made anew.
        with replacing_weights(self):
            self._add_weights(size, sample_shape, width, values)
        self.built = True

    def _add_weights(self, size, sample_shape, width, values):
        dimension = int(np.prod(sample_shape))
        self.size = int(size)
        self.sample_shape = tuple(int(side) for side in sample_shape)
        values = {} if values is None else values
        for name, shape in (
            ("points", (size, dimension)),
            ("features", (size, dimension)),
            ("codes", (size, width)),
            ("norms", (size,)),
            ("center", (width,)),
        ):
            setattr(self, name, self._weight(name, shape, values.get(name)))

    def _weight(self, name, shape, value):
        initializer = "zeros" if value is None else (lambda *_, **__: ops.convert_to_tensor(value))
        return self.add_weight(
            name=name, shape=shape, initializer=initializer, trainable=False, dtype="float32"
        )


def squared_norms(rows):
    """Squared norm of every row, added up in float64."""
    return np.einsum("nd,nd->n", rows, rows, dtype="float64")
