"""1D convolution that is exactly orthogonal."""

import keras
from keras import ops

from lipot.layers.kernel_layer import check_units
from lipot.layers.orthogonal_layer import OrthogonalLayer
from lipot.math.padding import pad_spatial


@keras.saving.register_keras_serializable(package="lipot")
class OrthogonalConv1D(OrthogonalLayer):
    r"""1D convolution all of whose singular values are one, on sequences of every length.

    `OrthogonalConv2D` on images one pixel wide.

    Args:
        filters: Positive int, number of output channels.
        kernel_size: Positive int.
        strides: Positive int.
        padding: As in `OrthogonalConv2D`.
        data_format: `"channels_last"` or `"channels_first"`.
        dilation_rate: Positive int; above 1 the stride must be 1.
        groups: Positive int that divides channels and filters.
        activation: Activation name, function or 1-Lipschitz layer. Defaults to linear.
        use_bias: Whether to add a bias.
        kernel_initializer: Of the matrices, brought to the nearest orthonormal ones.
        bias_initializer: Initializer of the bias.
        kernel_regularizer: Regularizer of each stack of matrices.
        bias_regularizer: Regularizer of the bias.
        activity_regularizer: Regularizer of the output.
        kernel_constraint: Constraint applied to each stack of matrices after each step, before
            the layer's own projection.
        bias_constraint: Constraint of the bias.
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        eps_bjorck: Residual at which the matrices of inference count as orthonormal.
        beta_bjorck: Step of the Björck iteration, in `(0, 0.5]`.
        maxiter_bjorck: Björck iterations in a training step of `"bjorck"`.
        orthogonalizer: `"retraction"`, `"bjorck"` or `"cholesky"`, see `SpectralDense`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, steps, channels)`; steps may be `None`.

    Output shape:
        `(batch, new_steps, filters)`

    Lipschitz bound:
        As `OrthogonalConv2D`: at most `k_coef_lip` up to rounding.

    Raises:
        ValueError: An argument out of its range, or a combination that no orthogonal kernel has.

    Reference:
        Li et al., "Preventing gradient attenuation in Lipschitz constrained convolutional
        networks", NeurIPS 2019, section 4.2.

    Example:

    >>> import numpy as np
    >>> layer = OrthogonalConv1D(12, 3, padding="circular", use_bias=False)
    >>> x = np.random.default_rng(0).normal(size=(1, 8, 3)).astype("float32")
    >>> round(float(np.linalg.norm(layer(x)) / np.linalg.norm(x)), 4)
    1.0
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="same",
        data_format=None,
        dilation_rate=1,
        groups=1,
        activation=None,
        use_bias=True,
        kernel_initializer="orthogonal",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        k_coef_lip=1.0,
        eps_bjorck=1e-3,
        beta_bjorck=0.5,
        maxiter_bjorck=15,
        orthogonalizer="retraction",
        **kwargs,
    ):
        super().__init__(
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            k_coef_lip=k_coef_lip,
            eps_bjorck=eps_bjorck,
            beta_bjorck=beta_bjorck,
            maxiter_bjorck=maxiter_bjorck,
            orthogonalizer=orthogonalizer,
            **kwargs,
        )
        self.set_geometry(
            filters,
            (_single("kernel_size", kernel_size), 1),
            (_single("strides", strides), 1),
            padding,
            data_format,
            (_single("dilation_rate", dilation_rate), 1),
        )
        self.set_groups(groups, self.filters)
        self.input_spec = keras.layers.InputSpec(ndim=3)

    @property
    def _width_axis(self):
        # Where the axis of length one goes that makes a sequence an image.
        return 2 if self.data_format == "channels_last" else 3

    def build(self, input_shape):
        shape = self._image_shape(input_shape)
        channels = self.read_input_shape(shape)
        self.check_channels(channels)
        self.add_orthogonal_weights(channels, self.filters, self.groups)
        axis = 2 if self.data_format == "channels_last" else 1
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={axis: channels})
        self.built = True

    def call(self, inputs, training=False):
        outputs = super().call(ops.expand_dims(inputs, self._width_axis), training)
        return ops.squeeze(outputs, self._width_axis)

    def image_size(self, input_shape):
        return super().image_size(self._image_shape(input_shape))

    def compute_output_shape(self, input_shape):
        shape = list(super().compute_output_shape(self._image_shape(input_shape)))
        shape.pop(self._width_axis)
        return tuple(shape)

    def vanilla_export(self):
        """Returns stock Keras layers with the same outputs at inference.

        A `keras.layers.Conv1D`; with circular or constant padding a functional model that pads
        first.
        """
        self.check_built()
        stock = self.padding in ("same", "valid")
        layer = keras.layers.Conv1D(
            self.filters,
            self.kernel_size[0],
            strides=self.strides[0],
            padding=self.padding if stock else "valid",
            data_format=self.data_format,
            dilation_rate=self.dilation_rate[0],
            groups=self.groups,
            activation=self.activation,
            use_bias=self.use_bias,
            name=self.name,
            dtype=self.dtype_policy,
        )
        length = self._image_size[0] if self._image_size else None
        channels = self.inference_kernel.shape[2] * self.groups
        last = self.data_format == "channels_last"
        shape = (length, channels) if last else (channels, length)
        layer = self.export_to(layer, (None, *shape), self.inference_kernel[:, 0])
        if stock:
            return layer
        inputs = keras.Input(shape, dtype=self.compute_dtype)
        axes = (1,) if last else (2,)
        padded = pad_spatial(inputs, self.padding_amounts()[:1], self.padding, axes)
        return keras.Model(inputs, layer(padded), name=f"{self.name}_padded")

    def _image_shape(self, shape):
        shape = list(shape)
        shape.insert(self._width_axis, 1)
        return tuple(shape)

    def get_config(self):
        geometry = self.geometry_config()
        for name in ("kernel_size", "strides", "dilation_rate"):
            geometry[name] = geometry[name][0]
        return {**super().get_config(), **geometry, "groups": self.groups}


def _single(name, value):
    # Keras writes an int of one dimension as a tuple, too.
    return check_units(name, value[0] if isinstance(value, tuple | list) else value)
