"""A residual block whose displacement is kept short, as along a transport geodesic."""

import keras
from keras import ops

from lipot import checks
from lipot.layers.base import FixedArguments
from lipot.layers.branched import Branched


@keras.saving.register_keras_serializable(package="lipot")
class TransportResidual(Branched, FixedArguments, keras.layers.Layer):
    r"""Adds a branch to its input and charges the squared length of what was added.

    $$ x^k = x^{k-1} + R_k(x^{k-1}), \qquad \text{loss} \mathrel{+}=
       \frac{\text{weight}}{n} \sum_{i=1}^n |R_k(x_i^{k-1})|^2 $$

    Summed over the blocks of a network the charge discretizes the energy of the continuity
    equation, so that training looks for the optimal transport map from data to features.

    Args:
        branch: Keras layer or model R with outputs shaped like its inputs, or a list of layers.
        weight: Non-negative float, the factor of the energy in the loss.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any that `branch` keeps.

    Output shape:
        Same as the input.

    Lipschitz bound:
        1 plus that of the branch, which must be made of lipot layers that state one.

    Reference:
        Gai, Wang and Zhang, "OTAD", equations 10 and 13.

    Example:

    >>> import keras, numpy as np
    >>> layer = TransportResidual(keras.layers.Rescaling(3.0), weight=0.5)
    >>> float(layer(np.array([[2.0]], "float32"))[0, 0]), float(layer.losses[0])
    (8.0, 18.0)
    """

    factors = (1.0, 1.0)

    def __init__(self, branch, weight=1e-3, **kwargs):
        super().__init__(**kwargs)
        self.set_branch(branch)
        self.weight = checks.nonnegative_float("weight", weight)

    def call(self, inputs, training=None):
        displacement = self.run_branch(inputs, training)
        if self.weight:
            axes = tuple(range(1, len(displacement.shape)))
            energy = ops.sum(ops.square(ops.cast(displacement, "float32")), axis=axes)
            self.add_loss(self.weight * ops.mean(energy))
        return inputs + ops.cast(displacement, inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "weight": self.weight}
