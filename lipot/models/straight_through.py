"""Backward pass differentiable approximation: attack a defense through another network's slope."""

import keras

from lipot import checks
from lipot.math.gradients import straight_through
from lipot.models.first_batch import one_array
from lipot.models.parts import with_parts


@keras.saving.register_keras_serializable(package="lipot")
class StraightThrough(keras.Model):
    r"""Has the outputs of one model and the derivatives of another.

    $$ \text{stop}(f(x)) + \left( s(x) - \text{stop}(s(x)) \right) $$

    Args:
        model: Keras model or layer f, whose outputs count.
        surrogate: Keras model or layer s, whose derivatives stand in for those of f. None for the
            network an `OTAD` was made from, as its authors attack it.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        That of both models.

    Output shape:
        That of both models.

    Lipschitz bound:
        That of `model`, which is what `lipot.certify` takes; it refuses this one.

    Reference:
        Athalye, Carlini and Wagner, "Obfuscated gradients give a false sense of security", 2018.

    Example:

    >>> import numpy as np
    >>> model = StraightThrough(keras.layers.Rescaling(0.0, 3.0), keras.layers.Rescaling(2.0))
    >>> float(model(np.ones((1, 1), "float32"))[0, 0])
    3.0
    """

    def __init__(self, model, surrogate=None, **kwargs):
        super().__init__(**kwargs)
        self.model = checks.instance("model", model, keras.layers.Layer, "a Keras model or layer")
        self.surrogate = checks.instance(
            "surrogate", surrogate, keras.layers.Layer | None, "a Keras model or layer, or None"
        )
        if surrogate is None and not hasattr(model, "network"):
            raise checks.refused(
                "surrogate", "a Keras model or layer: only an OTAD has a network of its own", "None"
            )
        # It has no weights of its own to wait for.
        self.built = True

    def call(self, inputs):
        inputs = one_array(inputs)
        if self.surrogate is None:
            approximate = self.model.network(inputs)
        else:
            approximate = self.surrogate(inputs, training=False)
        return straight_through(self.model(inputs, training=False), approximate)

    def build(self, input_shape=None):
        self.built = True

    def compute_output_shape(self, input_shape):
        return self.model.compute_output_shape(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "model": keras.saving.serialize_keras_object(self.model),
            "surrogate": keras.saving.serialize_keras_object(self.surrogate),
        }

    @classmethod
    def from_config(cls, config):
        return cls(**with_parts(config, ("model", "surrogate")))
