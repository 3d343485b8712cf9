"""Pieces of a Vision Transformer whose residual branches are layers of their own."""

import keras
from keras import ops

from lipot import checks
from lipot.layers.applied_weights import applied_weight
from lipot.layers.base import Bounded, check_built, read_channels
from lipot.layers.layer_bounds import refuse
from lipot.math.linear_maps import Dense


@keras.saving.register_keras_serializable(package="lipot")
class PatchEmbedding(Bounded, keras.layers.Layer):
    """Cuts an image into patches, maps each to a vector and adds a learned position.

    Args:
        patch_size: Positive int, side of the square patches.
        width: Positive int, size of the vectors.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, rows, columns, channels)`, both sides multiples of `patch_size`.

    Output shape:
        `(batch, patches, width)`.

    Lipschitz bound:
        The spectral norm of the projection: an affine map whose patches do not overlap. In
        l-infinity the largest sum of absolute weights of an output.

    Raises:
        ValueError: Sides that are open, or no multiples of `patch_size`.

    Reference:
        Gai, Wang and Zhang, "OTAD", section IV.B.

    Example:

    >>> PatchEmbedding(4, 16).compute_output_shape((None, 32, 32, 3))
    (None, 64, 16)
    """

    def __init__(self, patch_size, width, **kwargs):
        super().__init__(**kwargs)
        self.patch_size = checks.positive_int("patch_size", patch_size)
        self.width = checks.positive_int("width", width)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        channels = read_channels(self, input_shape, -1)
        position_shape = self.compute_output_shape(input_shape)[1:]
        self.input_spec = keras.layers.InputSpec(shape=(None, *input_shape[1:]))
        self.kernel = self.add_weight(
            name="kernel", shape=(self.patch_size**2 * channels, self.width)
        )
        self.position = self.add_weight(
            name="position",
            shape=position_shape,
            initializer=keras.initializers.RandomNormal(stddev=0.02),
        )
        self.built = True

    def call(self, inputs):
        batch, (rows, columns, channels) = ops.shape(inputs)[0], inputs.shape[1:]
        side = self.patch_size
        grid = (batch, rows // side, side, columns // side, side, channels)
        patches = ops.transpose(ops.reshape(inputs, grid), (0, 1, 3, 2, 4, 5))
        patches = ops.reshape(patches, (batch, self.position.shape[0], self.kernel.shape[0]))
        return ops.matmul(patches, self.kernel) + self.position

    def bound(self, input_shape, norm=2):
        check_built(self)
        patches, width = self.compute_output_shape(input_shape)[1], input_shape[-1]
        sizes = (self.position.shape[0], self.kernel.shape[0])
        if (patches, self.patch_size**2 * width) != sizes:
            expected = f"{sizes[0]} patches of {sizes[1]} values"
            raise checks.other_sizes(self.name, expected, input_shape)
        kernel = applied_weight(self, "kernel")
        linear = Dense(self.width).bound(kernel, input_shape, norm=norm)
        position = applied_weight(self, "position")
        return linear.with_bias(position, self.compute_output_shape(input_shape), norm)

    def compute_output_shape(self, input_shape):
        batch, rows, columns, _ = input_shape
        side = self.patch_size
        if None in (rows, columns) or rows % side or columns % side:
            raise checks.invalid(
                "input_shape",
                f"images with known sides that are multiples of patch_size={side}",
                tuple(input_shape),
            )
        return (batch, (rows // side) * (columns // side), self.width)

    def get_config(self):
        return {**super().get_config(), "patch_size": self.patch_size, "width": self.width}


@keras.saving.register_keras_serializable(package="lipot")
class SelfAttention(keras.layers.Layer):
    """Multi-head self-attention of one input, with a layer normalization in front.

    Args:
        heads: Positive int, number of heads; it divides the width of the tokens.
        normalize: Whether to normalize the tokens first.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, tokens, width)`.

    Output shape:
        Same as the input.

    Lipschitz bound:
        None on the whole space; see `lipot.math.attention` for one on a ball.

    Reference:
        Gai, Wang and Zhang, "OTAD", equation 18.

    Example:

    >>> tuple(SelfAttention(heads=2)(ops.ones((1, 5, 8))).shape)
    (1, 5, 8)
    """

    def __init__(self, heads, normalize=True, **kwargs):
        super().__init__(**kwargs)
        self.heads = checks.positive_int("heads", heads)
        self.normalize = checks.boolean("normalize", normalize)
        self.input_spec = keras.layers.InputSpec(min_ndim=3)
        self.supports_masking = True

    def build(self, input_shape):
        width = read_channels(self, input_shape, -1)
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape), axes={-1: width})
        if width % self.heads:
            raise checks.invalid(
                "heads", f"a divisor of {width}, the width of the tokens", self.heads
            )
        self.normalization = None
        if self.normalize:
            self.normalization = keras.layers.LayerNormalization(
                epsilon=1e-6, dtype=self.dtype_policy, trainable=self.trainable
            )
            self.normalization.build(input_shape)
        self.attention = keras.layers.MultiHeadAttention(
            self.heads, width // self.heads, dtype=self.dtype_policy
        )
        self.attention.build(input_shape, input_shape)
        if not self.trainable:
            # Its own parts would go on: `MultiHeadAttention` makes them trainable when it is built.
            self.attention.trainable = False
        self.built = True

    def call(self, inputs, training=None):
        tokens = inputs if self.normalization is None else self.normalization(inputs)
        return self.attention(tokens, tokens, training=training)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "heads": self.heads, "normalize": self.normalize}


NO_BOUND = (
    "Attention multiplies parts of its input with each other, so neither it nor a transformer has "
    "a Lipschitz constant on all inputs. Take a network of convolutions, such as "
    "lipot.models.lipnext; see lipot.math.attention for a constant on a ball."
)
refuse(SelfAttention, NO_BOUND)
