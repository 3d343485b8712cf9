"""A residual block that stays 1-Lipschitz: a learned average of the input and a branch."""

import keras
from keras import ops

from lipot.layers.base import LipschitzLayer
from lipot.layers.branched import Branched
from lipot.math.scaling import at_least_float32, scale

# A compiled sigmoid may differ from this one by a few units in the last place.
_SIGMOID = 1.0 + 1e-6


@keras.saving.register_keras_serializable(package="lipot")
class LipschitzResidual(Branched, LipschitzLayer):
    r"""Learned convex combination of the input and a 1-Lipschitz branch.

    $$ y = k \bigl(\alpha\, x + (1 - \alpha)\, g(x)\bigr), \qquad \alpha = \mathrm{sigmoid}(w) $$

    with one trained number $w$. The sum $x + g(x)$ would be 2-Lipschitz, and its half loses what
    the block could do alone; here the block learns how much of the input to pass on.

    Args:
        branch: Keras layer or model $g$ with outputs shaped like its inputs, or a list of layers
            to apply one after the other.
        alpha_initializer: Initializer of $w$. Zeros, the default, begin with $\alpha = 1/2$.
        k_coef_lip: Positive float $k$, the Lipschitz constant to ensure.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any that `branch` keeps.

    Output shape:
        Same as the input.

    Lipschitz bound:
        $k (\alpha + (1 - \alpha) G)$ with $G$ the bound of the branch, by the triangle inequality:
        $|y - y'| \le k \alpha |x - x'| + k (1 - \alpha) |g(x) - g(x')|$. At most `k_coef_lip` for a
        1-Lipschitz branch, whatever $w$. `lipschitz_bound` multiplies bounds, of layers in a row;
        `lipot.lipschitz_constant` walks a branch with any graph, as it walks a model.

    Raises:
        ValueError: A branch that is no layer, or that changes the shape of its input.

    Reference:
        He et al., "Deep residual learning for image recognition" (CVPR 2016), with the convex
        combination in place of the sum.

    Example:

    >>> import keras, numpy as np
    >>> layer = LipschitzResidual(keras.layers.Rescaling(-0.5))
    >>> float(layer(np.array([[2.0]], "float32"))[0, 0])     # (2 - 1) / 2
    0.5
    """

    def __init__(self, branch, alpha_initializer="zeros", k_coef_lip=1.0, **kwargs):
        super().__init__(k_coef_lip=k_coef_lip, **kwargs)
        self.set_branch(branch)
        self.alpha_initializer = keras.initializers.get(alpha_initializer)

    def build(self, input_shape):
        self.alpha_logit = self.add_weight(
            name="alpha_logit", shape=(), initializer=self.alpha_initializer, autocast=False
        )
        super().build(input_shape)

    def call(self, inputs, training=None):
        x = at_least_float32(inputs)
        branch = ops.cast(self.run_branch(inputs, training), x.dtype)
        alpha = ops.sigmoid(ops.cast(self.alpha_logit, x.dtype))
        # An array of JAX to the left would refuse the symbolic tensors of an export.
        mixed = x * alpha + branch * (1.0 - alpha)
        return scale(mixed, self.k_coef_lip, dtype=self.compute_dtype)

    @property
    def factors(self):
        """Bounds of the factors of the input and of the branch, two floats."""
        alpha = ops.stop_gradient(ops.sigmoid(ops.convert_to_tensor(self.alpha_logit)))
        raised = self.applied_factor * _SIGMOID
        # A difference of numbers near one is wrong by what they are, not by what it is.
        lost = self.applied_factor * 2.0**-22
        return raised * float(alpha), raised * float(1.0 - alpha) + lost

    def get_config(self):
        return {
            **super().get_config(),
            "alpha_initializer": keras.initializers.serialize(self.alpha_initializer),
        }
