"""A learned image added to each input, so that equal patches at different places differ."""

import keras

from lipot import checks
from lipot.layers.applied_weights import applied_weight
from lipot.layers.base import LipschitzLayer
from lipot.layers.layer_bounds import check_not_repeated
from lipot.math.rounding import LayerBound
from lipot.math.scaling import scale


@keras.saving.register_keras_serializable(package="lipot")
class PositionEmbedding(LipschitzLayer):
    """Adds one trained number to each value of a sample.

    Args:
        embedding_initializer: Initializer of these numbers.
        k_coef_lip: Positive float, a factor on the output.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ...)` with known sizes.

    Output shape:
        That of the input.

    Lipschitz bound:
        `k_coef_lip`: a translation.

    Raises:
        ValueError: At build where a size is not known.

    Reference:
        Hu, Hu and Fredrikson, "LipNeXt" (ICLR 2026), the positional encoding.

    Example:

    >>> import numpy as np
    >>> [float(v) for v in PositionEmbedding("ones")(np.array([[1.0, 2.0]]))[0]]
    [2.0, 3.0]
    """

    def __init__(self, embedding_initializer="zeros", k_coef_lip=1.0, **kwargs):
        super().__init__(k_coef_lip=k_coef_lip, **kwargs)
        self.embedding_initializer = keras.initializers.get(embedding_initializer)
        self.supports_masking = True

    def build(self, input_shape):
        if None in input_shape[1:]:
            raise checks.invalid(
                "input_shape",
                "known sizes: each position has a number of its own",
                tuple(input_shape),
            )
        self.embedding = self.add_weight(
            name="embedding", shape=input_shape[1:], initializer=self.embedding_initializer
        )
        # On another shape one of the two would be repeated.
        self.input_spec = keras.layers.InputSpec(shape=(None, *input_shape[1:]))
        self.built = True

    def call(self, inputs):
        return scale(inputs + self.embedding, self.k_coef_lip)

    def bound(self, input_shape, norm=2):
        self.check_built()
        check_not_repeated(self, input_shape, self.embedding.shape)
        embedding, k = applied_weight(self, "embedding"), self.applied_factor
        shape = (None, embedding.size)
        bound = LayerBound(k, roundings=3, gain=k).with_bias(k * embedding, shape, norm)
        added = LayerBound(1.0).with_bias(embedding, shape, norm)
        return bound._replace(peak=1.0, peak_offset=added.offset)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "embedding_initializer": keras.initializers.serialize(self.embedding_initializer),
        }
