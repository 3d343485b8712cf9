"""Stored training points and features: weights that a model saves with the rest, or files."""

import weakref

import keras
import numpy as np
from keras import ops

from lipot import backend, checks
from lipot.backend.keras_graph import forget_programs, replacing_weights
from lipot.models.point_files import PointFiles
from lipot.models.training_points import squared_norms


@keras.saving.register_keras_serializable(package="lipot")
class NeighborMemory(keras.layers.Layer):
    """Points, their features, and the codes among which neighbors are searched.

    They are weights after `store`. After `keep_in` they stay in files, of which a saved model holds
    the place alone. Codes are kept around their mean, which is a weight too: far from the origin
    float32 has no digits left for the distances between them. Holds nothing at first. Its shapes
    are part of the saved build configuration, so that a loaded model has room for the weights.
    Several models may answer from one memory: `readers` forget their programs when it is refilled.

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
        self.readers = weakref.WeakSet()
        self.size = 0
        self._files = self._place = None
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

    def keep_in(self, files, center):
        """Replaces what is held by what is in files.

        Args:
            files: `PointFiles`.
            center: Mean of the codes before they were centered, `(m,)`.
        """
        self._allocate(files.size, files.sample_shape, files.code_width, {"center": center}, files)

    def attach(self, folder):
        """Says where the files of a loaded model are now.

        Args:
            folder: Folder with the files, moved as a whole.
        """
        if self._place is None:
            raise checks.refused(
                "folder",
                "a model that was adapted with adapt(..., folder=...)",
                f"folder={folder!r} for one that was not",
            )
        self._files = PointFiles.open(folder, self._place["key"])
        self._place = {**self._place, "folder": self._files.folder}
        self._tell_readers()

    def holds_points(self):
        """Whether there are points, and not room that was never filled."""
        if not self.size:
            return False
        missing = ops.any(ops.isnan(self.center))
        # In a program the weights have no values to look at.
        return not (backend.is_concrete(missing) and bool(missing))

    @property
    def files(self):
        """`PointFiles` where the points are, or `None` where they are weights."""
        if self._files is None and self._place is not None:
            self._files = PointFiles.open(self._place["folder"], self._place["key"])
        return self._files

    def take(self, indices):
        """Returns points and features by row, `(batch, K) -> 2 x (batch, K, d)`."""
        if self._place is None:
            return ops.take(self.points, indices, axis=0), ops.take(self.features, indices, axis=0)
        row = (indices.shape[1], int(np.prod(self.sample_shape)))
        return backend.on_host(
            lambda rows: self.files.take(rows), indices, [(row, "float32"), (row, "float32")]
        )

    def search_space(self):
        """Returns the centered codes that neighbors are searched among, and their squared norms."""
        return ops.convert_to_tensor(self.codes), self.norms

    def search_arrays(self):
        """What `search_space` returns, as arrays, or as `FileRows` that give arrays."""
        if self.files is not None:
            return self.files.codes, self.files.norms
        return tuple(ops.convert_to_numpy(part) for part in self.search_space())

    def centered(self, codes):
        """Moves codes of queries to where the stored ones are, `(batch, m)`."""
        return ops.cast(codes, "float32") - self.center

    def save_own_variables(self, store):
        super().save_own_variables(store)
        if self.size:
            store["sample_shape"] = np.asarray(self.sample_shape, "int64")
        if self._place is not None:
            store["key"] = np.frombuffer(self._place["key"].encode(), "uint8")

    def load_own_variables(self, store):
        """Takes over what is stored, with room for as many points as there are."""
        names = set(store.keys())
        values = [np.asarray(store[str(i)]) for i in range(len(names - {"sample_shape", "key"}))]
        key = np.asarray(store["key"]).tobytes().decode() if "key" in names else None
        # The center of other points, beside the codes in these files, would answer all the same.
        other = key is not None and (self._place is None or key != self._place["key"])
        if other or len(values) < len(self.weights) or (len(values) == 1 and self._place is None):
            raise ValueError(
                f"Expected the points of layer '{self.name}' in the file. Received: {len(values)} "
                "arrays. A model whose points are in files, or that was not adapted, is stored "
                "whole by `model.save`, and loaded by `keras.models.load_model`."
            )
        if len(values) > 1 and [v.shape for v in values] != [w.shape for w in self.weights]:
            known = "sample_shape" in names
            shape = np.asarray(store["sample_shape"]).tolist() if known else values[0].shape[1:]
            self._allocate(len(values[0]), shape, values[2].shape[1])
        for weight, value in zip(self.weights, values):
            weight.assign(value)

    def get_build_config(self):
        if not self.size:
            return {}
        return {
            "size": self.size,
            "sample_shape": list(self.sample_shape),
            "code_width": int(self.center.shape[0]),
            "place": None if self._place is None else dict(self._place),
        }

    def build_from_config(self, config):
        if config:
            sizes = config["size"], config["sample_shape"], config["code_width"]
            self._allocate(*sizes, place=config.get("place"))

    def get_config(self):
        config = super().get_config()
        del config["trainable"]
        return config

    def _allocate(self, size, sample_shape, width, values=None, files=None, place=None):
        if files is not None:
            place = {"folder": files.folder, "key": files.key}
        self._files, self._place = files, place
        # Files are read by the host, in the middle of a program.
        self.supports_jit = place is None
        # A second adapt() may bring another number of points: the weights are made anew.
        with replacing_weights(self):
            self._add_weights(size, sample_shape, width, {} if values is None else values)
        self.built = True
        self._tell_readers()

    def _tell_readers(self):
        # Programs hold the weights that were there when they were traced.
        for model in self.readers:
            forget_programs(model)

    def _add_weights(self, size, sample_shape, width, values):
        dimension = int(np.prod(sample_shape))
        self.size = int(size)
        self.sample_shape = tuple(int(side) for side in sample_shape)
        shapes = {"center": (width,)}
        if self._place is None:
            points = {"points": (size, dimension), "features": (size, dimension)}
            shapes = {**points, "codes": (size, width), "norms": (size,), **shapes}
        for name in ("points", "features", "codes", "norms", "center"):
            shape = shapes.get(name)
            weight = None if shape is None else self._weight(name, shape, values.get(name))
            setattr(self, name, weight)

    def _weight(self, name, shape, value):
        # A copy that never got its points shall not answer as if it had some.
        missing = keras.initializers.Constant(np.nan)
        initializer = missing if value is None else lambda *_, **__: ops.convert_to_tensor(value)
        return self.add_weight(
            name=name, shape=shape, initializer=initializer, trainable=False, dtype="float32"
        )
