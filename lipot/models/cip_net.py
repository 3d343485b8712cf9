"""A Transformer that learns to answer the convex integration problem."""

import keras
from keras import ops

from lipot import checks
from lipot.layers.tokens import SelfAttention


@keras.saving.register_keras_serializable(package="lipot")
class CIPNet(keras.Model):
    r"""Approximates `ConvexInterpolation` with a Transformer encoder on 2K + 1 tokens.

    The query, its K neighbors and their K features become one token each; a learned vector per
    place tells which neighbor a feature belongs to. After the encoder the query's token is mapped
    to a feature, added to the mean of the given ones. Trained on exact solutions
    (`InterpolationData`), it can be the `solver` of an `OTAD`.

    Args:
        neighbors: K, positive integer.
        width: Positive int, size of the tokens inside the encoder.
        blocks: Positive int, number of encoder blocks.
        heads: Positive int, number of attention heads, a divisor of `width`.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        A list `[query, neighbors, features]` of shapes `(batch, d)`, `(batch, K, d)` and
        `(batch, K, d)`.

    Output shape:
        `(batch, d)`.

    Lipschitz bound:
        None on the whole space; `lipot.math.attention` bounds attention on a ball.

    Reference:
        Gai, Wang and Zhang, "OTAD", section IV.C and V.F.

    Example:

    >>> import numpy as np
    >>> net = CIPNet(neighbors=3, width=8, blocks=1, heads=2)
    >>> net([np.zeros((2, 5)), np.zeros((2, 3, 5)), np.zeros((2, 3, 5))]).shape == (2, 5)
    True
    """

    def __init__(self, neighbors=10, width=256, blocks=6, heads=8, **kwargs):
        super().__init__(**kwargs)
        self.neighbors = checks.positive_int("neighbors", neighbors)
        self.width = checks.positive_int("width", width)
        self.blocks = checks.positive_int("blocks", blocks)
        self.heads = checks.positive_int("heads", heads)
        if self.width % self.heads:
            raise checks.invalid("heads", f"a divisor of width={self.width}", self.heads)
        alike = {"dtype": self.dtype_policy}
        self.project_points = keras.layers.Dense(self.width, name="project_points", **alike)
        self.project_features = keras.layers.Dense(self.width, name="project_features", **alike)
        self.attentions = [
            SelfAttention(self.heads, name=f"attention_{i}", **alike) for i in range(self.blocks)
        ]
        self.perceptrons = [
            _perceptron(self.width, f"perceptron_{i}", **alike) for i in range(self.blocks)
        ]
        self.last_normalization = keras.layers.LayerNormalization(epsilon=1e-6, **alike)

    def build(self, input_shape):
        query, neighbors, features = self._shapes(input_shape)
        self.project_points.build(neighbors)
        self.project_features.build(features)
        tokens = (None, 2 * self.neighbors + 1, self.width)
        for layer in (*self.attentions, *self.perceptrons):
            layer.build(tokens)
        self.last_normalization.build((None, self.width))
        self.to_feature = keras.layers.Dense(
            query[-1],
            kernel_initializer="zeros",
            name="to_feature",
            dtype=self.dtype_policy,
            trainable=self.trainable,
        )
        self.to_feature.build((None, self.width))
        small = keras.initializers.RandomNormal(stddev=0.02)
        self.places = self.add_weight(
            name="places", shape=(self.neighbors, self.width), initializer=small
        )
        self.kinds = self.add_weight(name="kinds", shape=(3, self.width), initializer=small)
        self.built = True

    def call(self, inputs, training=None):
        # Keras builds once: what comes later may be shaped otherwise.
        self._shapes(keras.tree.map_structure(lambda x: tuple(x.shape), inputs))
        query, neighbors, features = inputs
        points = self.project_points(ops.concatenate([query[:, None], neighbors], axis=1))
        tokens = ops.concatenate(
            [
                points[:, :1] + self.kinds[0],
                points[:, 1:] + self.kinds[1] + self.places,
                self.project_features(features) + self.kinds[2] + self.places,
            ],
            axis=1,
        )
        for attention, perceptron in zip(self.attentions, self.perceptrons):
            tokens = tokens + attention(tokens, training=training)
            tokens = tokens + perceptron(tokens, training=training)
        answer = self.to_feature(self.last_normalization(tokens[:, 0]))
        return answer + ops.mean(features, axis=1)

    def compute_output_shape(self, input_shape):
        return self._shapes(input_shape)[0]

    def _shapes(self, given):
        """The shapes of query, neighbors and features; raises where they are no such three."""
        are_three = isinstance(given, list | tuple) and len(given) == 3
        if are_three and all(isinstance(shape, list | tuple) for shape in given):
            query, neighbors, features = (tuple(shape) for shape in given)
            expected = (self.neighbors, *query[1:])
            fit = [checks.fits(shape[1:], expected) for shape in (neighbors, features)]
            if len(query) == 2 and all(fit):
                return query, neighbors, features
        raise checks.refused(
            "inputs",
            f"inputs of shapes (batch, d), (batch, {self.neighbors}, d) and "
            f"(batch, {self.neighbors}, d), in a list",
            str(given),
        )

    def get_config(self):
        return {
            **super().get_config(),
            "neighbors": self.neighbors,
            "width": self.width,
            "blocks": self.blocks,
            "heads": self.heads,
        }


def _perceptron(width, name, **alike):
    return keras.Sequential(
        [
            keras.layers.LayerNormalization(epsilon=1e-6, **alike),
            keras.layers.Dense(4 * width, "gelu", **alike),
            keras.layers.Dense(width, **alike),
        ],
        name=name,
    )
