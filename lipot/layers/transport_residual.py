"""A residual block whose displacement is kept short, as along a transport geodesic."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="lipot")
class TransportResidual(keras.layers.Layer):
    r"""Adds a branch to its input and charges the squared length of what was added.

    $$ x^k = x^{k-1} + R_k(x^{k-1}), \qquad \text{loss} \mathrel{+}=
       \frac{\text{weight}}{n} \sum_{i=1}^n |R_k(x_i^{k-1})|^2 $$

    Summed over the blocks of a network the charge discretizes the energy of the continuity
    equation, so that training looks for the optimal transport map from data to features.

    Args:
        branch: Keras layer or model R with outputs shaped like its inputs.
        weight: Non-negative float, the factor of the energy in the loss.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any that `branch` keeps.

    Output shape:
        Same as the input.

    Lipschitz bound:
        1 plus that of the branch, which must be a lipot layer that states one.

    Reference:
        Gai, Wang and Zhang, "OTAD", equations 10 and 13.

    Example:

    >>> import keras, numpy as np
    >>> layer = TransportResidual(keras.layers.Rescaling(3.0), weight=0.5)
    >>> float(layer(np.array([[2.0]], "float32"))[0, 0]), float(layer.losses[0])
    (8.0, 18.0)
    """

    def __init__(self, branch, weight=1e-3, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(branch, keras.layers.Layer):
            raise ValueError(
                "Invalid value received for argument `branch`. Expected a Keras layer. "
                f"Received: branch={branch!r}."
            )
        if not 0.0 <= float(weight) < float("inf"):
            raise ValueError(
                "Invalid value received for argument `weight`. Expected a non-negative float. "
                f"Received: weight={weight}."
            )
        self.branch = branch
        self.weight = float(weight)

    def build(self, input_shape):
        if not self.branch.built:
            self.branch.build(input_shape)
        output_shape = self.branch.compute_output_shape(input_shape)
        if tuple(output_shape)[1:] != tuple(input_shape)[1:]:
            raise ValueError(
                "Invalid value received for argument `branch`. Expected outputs shaped like the "
                f"inputs {tuple(input_shape)}. Received: outputs shaped {tuple(output_shape)}."
            )
        self.built = True

    def call(self, inputs, training=None):
        displacement = (
            self.branch(inputs, training=training)
            if self.branch._call_has_training_arg
            else self.branch(inputs)
        )
        if self.weight:
            axes = tuple(range(1, len(displacement.shape)))
            energy = ops.sum(ops.square(ops.cast(displacement, "float32")), axis=axes)
            self.add_loss(self.weight * ops.mean(energy))
        return inputs + ops.cast(displacement, inputs.dtype)

    @property
    def lipschitz_bound(self):
        """Proven upper bound of the layer's l2 Lipschitz constant at inference (float)."""
        if not hasattr(type(self.branch), "lipschitz_bound"):
            raise ValueError(
                f"No Lipschitz bound is known for the branch of '{self.name}'. Expected a lipot "
                f"layer. Received: {type(self.branch).__name__} '{self.branch.name}'."
            )
        return 1.0 + self.branch.lipschitz_bound

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "branch": keras.saving.serialize_keras_object(self.branch),
            "weight": self.weight,
        }

    @classmethod
    def from_config(cls, config):
        branch = keras.saving.deserialize_keras_object(config["branch"])
        return cls(**{**config, "branch": branch})
