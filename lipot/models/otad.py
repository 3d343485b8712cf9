"""OTAD: a network's features replaced by a convex interpolation of its training points."""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from lipot import checks
from lipot.layers.convex_interpolation import ConvexInterpolation
from lipot.math.steepness import steepest_change
from lipot.models.neighbor_model import NeighborModel
from lipot.models.training_points import flat


class Neighborhood(NamedTuple):
    """What stands behind the answers to some queries.

    Attributes:
        indices: Stored points used, `(n, K)`, nearest first.
        distances: To the query, in the space of the search, `(n, K)`.
        weights: Of each neighbor in the feature, `(n, K)`.
        feasible: Whether a relaxation of the conditions (15) was solvable, `(n,)`.
        steps: Relaxations that took, `(n,)`.
        gap: Bound of how far the value of (16) is from its optimum, `(n,)`.
    """

    indices: Any
    distances: Any
    weights: Any
    feasible: Any
    steps: Any
    gap: Any


class LeftOut(NamedTuple):
    """Stored points, each answered from its neighbors without itself.

    Attributes:
        query: The points as the solver gets them, `(n, d)`.
        indices: Stored points used, `(n, K)`, nearest first.
        exact: Exact solution, `(n, d)`.
        own: The backbone's own feature, `(n, d)`.
    """

    query: Any
    indices: Any
    exact: Any
    own: Any


@keras.saving.register_keras_serializable(package="lipot")
class OTAD(NeighborModel):
    """Optimal-transport-induced adversarial defense, exact and differentiable.

    A residual network trained with a transport energy (`TransportResidual`) maps training points
    to features. A query is answered by the slope of the smallest smooth convex function that has
    those features as slopes at the K nearest training points; the head reads that slope.
    Gradients flow through the whole answer, the neighbors held fixed.

    Args:
        backbone: Built Keras layer or model whose outputs have the shape of its inputs.
        head: Keras layer or model from features to outputs.
        neighbors: Positive integer K. With fewer stored points, all of them are used.
        smoothness: Positive float, L of the function; also the Lipschitz constant of the answer
            while the neighbors stay the same.
        convexity: Float below `smoothness`, l of the function.
        smoothness_step: Non-negative float, what each relaxation of an infeasible neighborhood adds
            to L.
        convexity_step: Non-negative float, what each relaxation takes from l.
        embedding: Keras layer or model in front of the backbone (the patches of a Transformer),
            or None.
        metric: Keras layer or model from inputs to a space whose l2 distance chooses the
            neighbors, or None for that of the (embedded) inputs.
        solver: Layer called on `[query, neighbors, features]` in place of the exact solution,
            such as a trained `CIPNet`, or None.
        search: `"exact"`, or by the package faiss `"faiss"`, exact too, and `"faiss-ivf"` or
            `"faiss-hnsw"`, which may miss neighbors.
        **kwargs: Arguments of `keras.Model`, and `memory`, the `NeighborMemory` of another model,
            to answer from the same stored points.

    Input shape:
        That of the embedding, or of the backbone without one, in any number type.

    Output shape:
        That of the head.

    Lipschitz bound:
        None as a whole, as neighbors change; `lipot.certify` proves a radius around each query.

    Reference:
        Gai, Wang and Zhang, "OTAD: An Optimal Transport-Induced Robust Model for Agnostic
        Adversarial Attack", algorithm 2.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(100, 3)).astype("float32")
    >>> backbone = keras.Sequential([keras.Input((3,)), keras.layers.Rescaling(2.0)])
    >>> head = keras.layers.Dense(2)
    >>> model = OTAD(backbone, head, neighbors=5, smoothness=2.0).adapt(x)
    >>> bool(np.allclose(model.features(x), 2 * x, atol=1e-5))
    True
    >>> model.predict(x[:4] + 0.1, verbose=0).shape
    (4, 2)
    """

    parts = (*NeighborModel.parts, "solver")
    read_by_programs = (*NeighborModel.read_by_programs, "interpolation")

    def __init__(
        self,
        backbone,
        head,
        neighbors=10,
        smoothness=2.0,
        convexity=0.0,
        *,
        smoothness_step=0.2,
        convexity_step=0.2,
        embedding=None,
        metric=None,
        solver=None,
        search="exact",
        **kwargs,
    ):
        super().__init__(
            backbone,
            head,
            neighbors,
            embedding=embedding,
            metric=metric,
            search=search,
            **kwargs,
        )
        self.interpolation = ConvexInterpolation(
            smoothness,
            convexity,
            smoothness_step=smoothness_step,
            convexity_step=convexity_step,
            name="interpolation",
            # Points and features are kept and compared in it, whatever the global policy.
            dtype="float32",
        )
        kind = keras.layers.Layer | None
        self.solver = checks.instance("solver", solver, kind, "a Keras layer or model, or None")

    def combine(self, query, neighbors, features):
        inputs = [query, neighbors, features]
        if self.solver is not None:
            return self.solver(inputs, training=False)
        return self.interpolation(inputs)

    def arrange(self, indices):
        # In an order of their own the same neighbors have the same potentials, bit for bit,
        # wherever the query is. A learned solver was shown the nearest first.
        return indices if self.solver is not None else ops.sort(indices, axis=1)

    def neighborhoods(self, x, *, batch_size=256):
        """Looks behind the answers: neighbors, weights and feasibility, as a `Neighborhood`.

        Args:
            x: Inputs, array `(n, ...)`.
            batch_size: Positive int, queries answered at once.
        """

        def look(_, batch):
            embedded = self._embed(batch)
            found = self._nearest(batch, embedded)
            query = flat(embedded)
            order = ops.argsort(found.indices, axis=1)
            arranged = ops.take_along_axis(found.indices, order, axis=1)
            solved = self.interpolation.solve(query, *self.memory.take(arranged))
            weights = ops.take_along_axis(solved.weights, ops.argsort(order, axis=1), axis=1)
            return Neighborhood(*found, weights, solved.feasible, solved.steps, solved.gap)

        return self._over_batches("neighborhoods", look, x, batch_size)

    def with_solver(self, solver):
        """Returns an OTAD with the same parts and stored points and another solver.

        Args:
            solver: Layer called on `[query, neighbors, features]`, or None for the exact one.
        """
        return self._sharing(solver=solver)

    def with_search(self, search):
        """Returns an OTAD with the same parts and stored points and another search.

        Args:
            search: As for the class.
        """
        return self._sharing(search=search)

    def without_itself(self, x, *, batch_size=256):
        """Answers stored points from their neighbors without themselves, to train a solver.

        Args:
            x: Points this model was adapted to, array `(n, ...)`.
            batch_size: Positive int, queries answered at once.

        Returns:
            `((query, neighbors, features), exact, own)`: inputs of a solver, the exact
            solution and the backbone's own feature, `(n, d)`.
        """
        found = self.left_out(x, batch_size=batch_size)
        neighbors = map(ops.convert_to_numpy, self.memory.take(found.indices))
        return (found.query, *neighbors), found.exact, found.own

    def left_out(self, x, *, batch_size=256):
        """What `without_itself` answers, with the indices of the neighbors in place of them.

        Args:
            x: Points this model was adapted to, array `(n, ...)`.
            batch_size: Positive int, queries answered at once.

        Returns:
            `LeftOut`.
        """
        self._check_adapted()
        if self.memory.size < 2:
            raise ValueError(
                "A point has no neighbors beside itself. Expected a model that was adapted to two "
                "points or more. Received: one that stores a single point"
            )

        def answer(_, batch):
            embedded = self._embed(batch)
            # A stored point is nearest to itself.
            indices = self._nearest(batch, embedded, self.neighbors + 1).indices[:, 1:]
            query = flat(embedded)
            exact = self.interpolation([query, *self.memory.take(indices)])
            own = ops.reshape(self.backbone(embedded, training=False), ops.shape(query))
            return LeftOut(query, indices, exact, own)

        return self._over_batches("left_out", answer, x, batch_size)

    def local_lipschitz(self, x, *, eps=0.3, steps=10, seed=0, batch_size=256):
        r"""Searches for the steepest change of the features within a distance.

        Climbs $|\tilde f(x + \delta) - \tilde f(x)| / |\delta|$ over $|\delta| = \epsilon$, from
        a random start, and keeps the largest ratio met: a lower bound of the local constant.

        Args:
            x: Inputs, array `(n, ...)`.
            eps: Positive float, length of the change.
            steps: Positive int, steps of the climb.
            seed: Seed of the random start.
            batch_size: Positive int, queries at once.

        Returns:
            Array `(n,)`.

        Reference:
            Gai, Wang and Zhang, "OTAD", section V.D and figure 2.
        """
        eps = checks.positive_float("eps", eps)
        checks.positive_int("steps", steps)
        x = np.asarray(x, "float32")
        rng = np.random.default_rng(seed)

        def climb(_, pair):
            return steepest_change(self._feature_of, pair[:, 0], pair[:, 1], steps)

        start = rng.normal(size=x.shape).astype("float32")
        start *= eps / np.sqrt(np.sum(start**2, axis=tuple(range(1, x.ndim)), keepdims=True))
        pairs = np.stack([x, start], axis=1)
        return self._over_batches(
            f"local_lipschitz {steps}",
            climb,
            pairs,
            batch_size,
            check=lambda pair: self._check_queries(pair[:, 0]),
        )

    def _sharing(self, **changes):
        config = self.get_config()
        parts = {name: getattr(self, name) for name in self.parts}
        shared = {"memory": self.memory, "name": None}
        model = type(self)(**{**config, **parts, **shared, **changes})
        model.build()
        return model

    def get_config(self):
        return {
            **super().get_config(),
            "smoothness": self.interpolation.smoothness,
            "convexity": self.interpolation.convexity,
            "smoothness_step": self.interpolation.smoothness_step,
            "convexity_step": self.interpolation.convexity_step,
        }
