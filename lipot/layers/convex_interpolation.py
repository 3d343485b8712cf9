"""The convex integration problem as a layer."""

import keras

from lipot import checks
from lipot.layers.base import FixedArguments
from lipot.layers.layer_bounds import refuse
from lipot.math.interpolation import interpolate, settled


@keras.saving.register_keras_serializable(package="lipot")
class ConvexInterpolation(FixedArguments, keras.layers.Layer):
    r"""Maps a query to the slope there of a smooth convex function fitted to its neighbors.

    For neighbors $x_i$ with features $z_i$ the layer finds potentials $u_i$ that satisfy the
    conditions (15), raising L and lowering l by steps until some exist, and returns the $z'$ of

    $$ \min_{v, z'} v \quad \text{s.t.} \quad v \ge u_i + \langle z_i, x' - x_i\rangle
       + \tfrac{l}{2}|x' - x_i|^2 + \tfrac{1}{2(L - l)}|z' - z_i - l(x' - x_i)|^2, $$

    which is (16). It has no weights, and gradients for the query, the neighbors and the features.

    Args:
        smoothness: L, positive float.
        convexity: l, float below `smoothness`.
        smoothness_step: Non-negative float, what each relaxation of (15) adds to L.
        convexity_step: Non-negative float, what each relaxation of (15) takes from l.
        max_steps: Positive integer, relaxations to try before the trapezoid rule stands in.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        A list `[query, neighbors, features]` of shapes `(batch, d)`, `(batch, K, d)` and
        `(batch, K, d)`.

    Output shape:
        `(batch, d)`.

    Lipschitz bound:
        `max(L, |l|)` from the query to the output while the neighbors stay the same, whatever
        the potentials; see `query_lipschitz_bound`. Along the other inputs there is none.

    Reference:
        Gai, Wang and Zhang, "OTAD", equations 15 and 16 and algorithm 2.

    Example:

    >>> import numpy as np
    >>> layer = ConvexInterpolation(smoothness=2.0)
    >>> neighbors = np.array([[[0.0, 0.0], [1.0, 0.0]]], "float32")
    >>> query = np.array([[0.5, 3.0]], "float32")
    >>> [float(value) for value in layer([query, neighbors, 2.0 * neighbors])[0]]
    [1.0, 0.0]
    """

    def __init__(
        self,
        smoothness=2.0,
        convexity=0.0,
        *,
        smoothness_step=0.2,
        convexity_step=0.2,
        max_steps=4096,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.smoothness = checks.positive_float("smoothness", smoothness)
        self.convexity = checks.finite_float("convexity", convexity)
        if not self.convexity < self.smoothness:
            raise checks.refused(
                "convexity",
                "a float below `smoothness`",
                f"convexity={convexity}, smoothness={smoothness}",
            )
        self.smoothness_step = checks.nonnegative_float("smoothness_step", smoothness_step)
        self.convexity_step = checks.nonnegative_float("convexity_step", convexity_step)
        self.max_steps = checks.positive_int("max_steps", max_steps)

    def build(self, input_shape):
        _check_shapes(input_shape)
        self.built = True

    def call(self, inputs):
        # Keras builds once: what comes later may be shaped otherwise.
        _check_shapes(keras.tree.map_structure(lambda x: tuple(x.shape), inputs))
        return self.solve(*inputs).gradient

    def solve(self, query, neighbors, features):
        """Returns the whole `Interpolation`: gradient, weights, feasibility and steps."""
        arguments = self.smoothness, self.convexity
        return interpolate(query, neighbors, features, *arguments, **self._relaxations())

    def settled(self, neighbors, features):
        """Says where all programs relax the conditions (15) by as many steps, `(batch,)`."""
        arguments = self.smoothness, self.convexity
        return settled(neighbors, features, *arguments, **self._relaxations())

    def _relaxations(self):
        return {
            "smoothness_step": self.smoothness_step,
            "convexity_step": self.convexity_step,
            "max_steps": self.max_steps,
        }

    @property
    def query_lipschitz_bound(self):
        """Lipschitz constant from the query to the output while the neighbors stay the same."""
        return max(self.smoothness, abs(self.convexity))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[0])

    def get_config(self):
        return {
            **super().get_config(),
            "smoothness": self.smoothness,
            "convexity": self.convexity,
            "smoothness_step": self.smoothness_step,
            "convexity_step": self.convexity_step,
            "max_steps": self.max_steps,
        }


def _check_shapes(given):
    """Raises unless these are the shapes of a query, its neighbors and their features."""
    # The shape of one tensor may have three entries too.
    if len(given) == 3 and all(isinstance(shape, list | tuple) for shape in given):
        query, neighbors, features = given
        alike = len(neighbors) == 3 and checks.fits(neighbors, features)
        # (batch, K, d) without the K.
        if alike and checks.fits((neighbors[0], neighbors[2]), query):
            return
    expected = "inputs of shapes (batch, d), (batch, K, d) and (batch, K, d), in a list"
    raise checks.refused("inputs", expected, str(given))


refuse(
    ConvexInterpolation,
    "Its constant, query_lipschitz_bound, holds while the neighbors stay the same: "
    "lipot.certify takes the whole OTAD.",
)
