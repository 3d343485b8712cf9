"""Models that answer a query from stored training points near it."""

import contextlib

import keras
import numpy as np
from keras import ops

from lipot import backend, checks
from lipot.backend.keras_graph import forget_programs
from lipot.batches import Points, padded
from lipot.math.neighbors import nearest_neighbors
from lipot.models.first_batch import one_array
from lipot.models.neighbor_memory import NeighborMemory
from lipot.models.parts import with_parts
from lipot.models.point_files import PointWriter
from lipot.models.search import SEARCHES, BlockSearch, KeptSearch, check_faiss
from lipot.models.training_points import as_float, flat, flat_rows, training_points, unseen


class NeighborModel(keras.Model):
    """Base of models that replace a network's features by ones computed from neighbors.

    A network `head(backbone(embedding(x)))` is trained first, in the usual way. `adapt` then
    stores its training points and their features, and from there on a call finds the stored
    points next to the query and lets `combine` make a feature of them for the head.

    Args:
        backbone: Built Keras layer or model whose outputs have the shape of its inputs.
        head: Keras layer or model from features to outputs.
        neighbors: Positive integer K. With fewer stored points, all of them are used.
        embedding: Keras layer or model in front of the backbone, or None.
        metric: Keras layer or model from inputs to a space whose l2 distance chooses the
            neighbors, or None for that of the (embedded) inputs.
        search: `"exact"`, or by the package faiss `"faiss"`, exact too, and `"faiss-ivf"` or
            `"faiss-hnsw"`, which are faster and may miss neighbors: see `recall`.
        memory: `NeighborMemory` of another model, to answer from the same stored points, or None.
        **kwargs: Arguments of `keras.Model`.

    Inputs of any number type are taken as float32, the type of what is stored.
    """

    # The layers that a configuration holds; a subclass names its own beside them.
    parts = ("backbone", "head", "embedding", "metric")
    # What compiled programs read once beside those; a subclass names its own too.
    read_by_programs = ("neighbors", "search", "memory")

    def __init__(
        self,
        backbone,
        head,
        neighbors=10,
        *,
        embedding=None,
        metric=None,
        search="exact",
        memory=None,
        **kwargs,
    ):
        # A policy in half precision would round queries, or the points, but not both alike.
        given = kwargs.pop("dtype", None)
        super().__init__(dtype="float32", **kwargs)
        if given is not None and keras.dtype_policies.get(given).compute_dtype != "float32":
            raise checks.invalid("dtype", "float32, the only one, or None", given)
        self.autocast = False
        layer, optional = keras.layers.Layer, keras.layers.Layer | None
        said = "a Keras layer or model"
        self.backbone = checks.instance("backbone", backbone, layer, said)
        self.head = checks.instance("head", head, layer, said)
        self.neighbors = checks.positive_int("neighbors", neighbors)
        self.embedding = checks.instance("embedding", embedding, optional, f"{said}, or None")
        self.metric = checks.instance("metric", metric, optional, f"{said}, or None")
        self.search = checks.choice("search", search, sorted(SEARCHES))
        if search.startswith("faiss"):
            check_faiss()
        checks.instance("memory", memory, NeighborMemory | None, "a NeighborMemory or None")
        self.memory = NeighborMemory(name="memory", dtype="float32") if memory is None else memory
        self._kept_search, self._programs, self._met_shapes = KeptSearch(), {}, set()
        # An index is asked by the host, in the middle of a program.
        self.supports_jit = search == "exact"

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name == "memory":
            value.readers.add(self)
        # Programs compiled before would go on with what was there.
        if name in (*self.parts, *self.read_by_programs) and "_programs" in self.__dict__:
            forget_programs(self)

    def load_weights(self, filepath, *args, **kwargs):
        """As in Keras; a built model takes over the stored points, however many there are."""
        super().load_weights(filepath, *args, **kwargs)
        forget_programs(self)

    def combine(self, query, neighbors, features):
        """Makes the feature of a query, `(batch, d)`, from its neighbors and their features."""
        raise TypeError(f"{type(self).__name__} must define combine().")

    def adapt(self, x, y=None, *, batch_size=256, folder=None):
        """Stores training points and their features.

        Points that occur more than once are stored once: a repeated point would take several
        places among the K.

        Args:
            x: Training inputs: an array or memory map `(n, ...)`, or a `tf.data.Dataset`,
                `keras.utils.PyDataset` or `torch.utils.data.DataLoader` of batches of them, whose
                labels are ignored. Beside what is stored, memory is that of a batch, and about 100
                bytes for each point, by which repeated ones are known.
            y: Ignored; taken so that the call looks like `fit`.
            batch_size: Points sent through the networks at once.
            folder: Folder in whose files the points stay, for more than fit into memory; what
                `adapt` stored there before is replaced. A saved model knows the place alone, and
                any number of processes can answer from it. By default the points are weights.

        Returns:
            The model.
        """
        batches = Points(x).batches(checks.positive_int("batch_size", batch_size))
        seen, first, parts = set(), None, []
        with contextlib.nullcontext() if folder is None else PointWriter(folder) as writer:
            add = parts.append if folder is None else lambda rows: writer.add(*rows)
            for batch, _ in batches:
                batch = training_points(batch)
                first = batch[:1] if first is None else first
                batch = batch[unseen(batch, seen)]
                if len(batch):
                    rows, shape = self._learn(batch)
                    add(rows)
            if folder is None:
                self.memory.store(*map(np.concatenate, zip(*parts)), shape)
            else:
                self.memory.keep_in(*writer.finish(shape))
        self(first)
        self._met_shapes = {first.shape[1:]}
        return self

    def call(self, inputs):
        inputs = as_float(one_array(inputs))
        embedded = self._embed(inputs)
        return self._finish(self._answer(inputs, embedded), embedded)

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """As in Keras, for any number of points on any number of devices."""
        self._check_adapted()
        if isinstance(x, np.ndarray):
            self._check_queries(x)
        settings = {"verbose": verbose, "steps": steps, "callbacks": callbacks}
        return padded(super().predict, x, batch_size, **settings)

    def evaluate(self, x=None, *args, **kwargs):
        """As in Keras."""
        self._check_adapted()
        if isinstance(x, np.ndarray) and len(x):
            self._check_queries(x)
        return super().evaluate(x, *args, **kwargs)

    def features(self, x, *, batch_size=256):
        """Computes the features that `combine` gives, before the head.

        Args:
            x: Inputs, array `(n, ...)`.
            batch_size: Queries answered at once.

        Returns:
            Array `(n, d)`.
        """
        return self._over_batches("features", lambda _, b: self._feature_of(b), x, batch_size)

    def network_features(self, x, *, batch_size=256):
        """Computes the features that the backbone itself gives, `(n, d)`."""

        def answer(_, batch):
            return flat(self.backbone(self._embed(batch), training=False))

        return self._over_batches("network_features", answer, x, batch_size)

    def codes(self, x, *, batch_size=256):
        """Computes where the search sees inputs, relative to the mean of what is stored, `(n, m)`.

        Args:
            x: Inputs, array `(n, ...)`.
            batch_size: Inputs sent through the metric at once.
        """

        def answer(_, batch):
            return self._code(batch, self._embed(batch) if self.metric is None else None)

        return self._over_batches("codes", answer, x, batch_size)

    def queries(self, x, *, batch_size=256):
        """Computes what `combine` gets as queries: embedded inputs, `(n, d)`.

        Args:
            x: Inputs, array `(n, ...)`.
            batch_size: Inputs embedded at once.
        """
        return self._over_batches("queries", lambda _, b: flat(self._embed(b)), x, batch_size)

    def network(self, inputs):
        """Calls the network as it was trained: `head(backbone(embedding(inputs)))`."""
        embedded = self._embed(as_float(inputs))
        return self.head(self.backbone(embedded, training=False), training=False)

    def relative_error(self, x, *, batch_size=256):
        r"""Computes $|R(x) - \tilde f(x)|^2 / |R(x)|^2$ for backbone features R(x).

        Args:
            x: Inputs, array `(n, ...)`.
            batch_size: Queries answered at once.

        Returns:
            Array `(n,)`.

        Reference:
            Gai, Wang and Zhang, "OTAD", section V.D.
        """
        ours = self.features(x, batch_size=batch_size).astype("float64")
        network = self.network_features(x, batch_size=batch_size).astype("float64")
        return np.sum((ours - network) ** 2, axis=1) / np.sum(network**2, axis=1)

    def nearest(self, inputs, count=None):
        """Finds the stored points next to inputs, as `Neighbors`."""
        if count is not None:
            checks.positive_int("count", count)
        inputs = as_float(inputs)
        embedded = self._embed(inputs) if self.metric is None else None
        return self._nearest(inputs, embedded, count)

    def recall(self, x, *, batch_size=256):
        """Measures which share of the neighbors of some queries the search finds.

        Args:
            x: Inputs, array `(n, ...)`.
            batch_size: Queries at once.

        Returns:
            Float: 1 for a search that misses none.
        """
        found = self._over_batches("nearest", lambda _, b: self.nearest(b).indices, x, batch_size)
        exact = BlockSearch(*self.memory.search_arrays())
        true, _ = exact.nearest(self.codes(x, batch_size=batch_size), found.shape[1])
        return float(np.mean([np.isin(ours, theirs) for ours, theirs in zip(true, found)]))

    def fit(self, *args, **kwargs):
        """Always raises, as `train_on_batch` does: the network is trained before, on its own."""
        return self.train_step(*args, **kwargs)

    def train_step(self, *args, **kwargs):
        raise TypeError(
            f"{type(self).__name__} is not trained by fit(). Train head(backbone(x)) as a Keras "
            "model, then store its training points with adapt()."
        )

    def build(self, input_shape=None):
        self.built = True

    def compute_output_shape(self, input_shape):
        # Room is enough: a model around this one is loaded before the points come.
        if not self.memory.size:
            raise self._not_adapted()
        return self.head.compute_output_shape((input_shape[0], *self.memory.sample_shape))

    def get_build_config(self):
        return {"memory": self.memory.get_build_config()}

    def build_from_config(self, config):
        if config.get("memory"):
            self.memory.build_from_config(config["memory"])
            self.built = True

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            **{name: serialize(getattr(self, name)) for name in self.parts},
            "neighbors": self.neighbors,
            "search": self.search,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**with_parts(config, cls.parts))

    def arrange(self, indices):
        """Order in which `combine` gets the neighbors `(batch, K)`: here the nearest first."""
        return indices

    def _embed(self, inputs):
        embedded = self._embedded(inputs)
        self._check_shape("inputs", embedded.shape)
        return embedded

    def _embedded(self, inputs):
        return inputs if self.embedding is None else self.embedding(inputs, training=False)

    def _nearest(self, inputs, embedded, count=None):
        """Searches next to inputs that are embedded already, where that is what is searched."""
        self._check_adapted()
        count = min(self.neighbors if count is None else count, self.memory.size)
        codes = self._code(inputs, embedded)
        if self.search == "exact" and self.memory.files is None:
            parts = backend.row_shards(self.memory.codes)
            return nearest_neighbors(codes, *self.memory.search_space(), count, parts)
        return self._kept_search.nearest(self.search, self.memory, codes, count)

    def _code(self, inputs, embedded):
        if self.metric is None:
            return self.memory.centered(flat(embedded))
        codes = flat(self.metric(inputs, training=False))
        width = self.memory.center.shape[0]
        if codes.shape[1] not in (None, width):
            expected = f"points whose metric has {width} values, as those given to adapt()"
            raise checks.refused("inputs", expected, f"{codes.shape[1]}, for {tuple(inputs.shape)}")
        return self.memory.centered(codes)

    def _answer(self, inputs, embedded):
        indices = self.arrange(self._nearest(inputs, embedded).indices)
        return self.combine(flat(embedded), *self.memory.take(indices))

    def _feature_of(self, inputs):
        return self._answer(inputs, self._embed(inputs))

    def _finish(self, feature, embedded):
        shape = (ops.shape(embedded)[0], *self.memory.sample_shape)
        return self.head(ops.reshape(feature, shape), training=False)

    def _check_adapted(self):
        if not self.memory.holds_points():
            raise self._not_adapted()

    def _not_adapted(self):
        return RuntimeError(
            f"{type(self).__name__} '{self.name}' holds no training points. Call adapt() first."
        )

    def _check_shape(self, name, shape):
        """Raises unless a batch, embedded, is shaped like what is stored, where that is known."""
        stored = self.memory.sample_shape
        if self.memory.size and not checks.fits(tuple(shape)[1:], stored):
            what = "points" if self.embedding is None else "points whose embedding is"
            expected = f"a batch of {what} of shape {stored}, as those given to adapt()"
            raise checks.refused(name, expected, f"shape {tuple(shape)}")

    def _check_queries(self, x):
        # Here and not in the program, which may have been compiled for any shape.
        if self.embedding is None:
            self._check_shape("x", x.shape)
        elif x.shape[1:] not in self._met_shapes:
            point = as_float(x[:1])
            self._code(point, self._embed(point))
            if any(len(shape) != x.ndim - 1 for shape in self._met_shapes):
                # A program that has met several ranks knows none, and layers need one.
                forget_programs(self)
            self._met_shapes.add(x.shape[1:])

    def _learn(self, batch):
        """What is stored of some points: flat rows, their features and codes; and a shape."""
        # Not `_embed`: what was stored before may have had another shape.
        embedded = self._embedded(ops.convert_to_tensor(batch))
        features = self.backbone(embedded, training=False)
        shape = tuple(embedded.shape[1:])
        if shape != tuple(features.shape[1:]):
            raise checks.refused(
                "backbone",
                f"features shaped like its inputs, {shape}",
                f"features shaped {tuple(features.shape[1:])}",
            )
        codes = embedded if self.metric is None else self.metric(batch, training=False)
        rows = [flat_rows(part) for part in (embedded, features, codes)]
        if not all(np.all(np.isfinite(part)) for part in rows):
            raise checks.refused(
                "x",
                "points from which embedding, backbone and metric compute finite numbers",
                "points that give NaN or infinite ones",
            )
        return rows, shape

    def _over_batches(self, name, answer, x, batch_size, check=None):
        self._check_adapted()
        check = self._check_queries if check is None else check
        parts = []
        for batch, _ in Points(x).batches(batch_size):
            check(batch)
            # The check may have given up the programs.
            if name not in self._programs:
                self._programs[name] = backend.compile_over(self, answer)
            parts.append(self._programs[name](np.asarray(batch, "float32")))
        return keras.tree.map_structure(
            lambda *leaves: np.concatenate([ops.convert_to_numpy(leaf) for leaf in leaves]), *parts
        )

    def forget_own_programs(self):
        """Has what `features`, `nearest` and the like compiled be compiled anew."""
        self._kept_search, self._programs, self._met_shapes = KeptSearch(), {}, set()
