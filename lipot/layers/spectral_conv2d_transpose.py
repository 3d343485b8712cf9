"""Transposed 2D convolution that is 1-Lipschitz on its real input size."""

import keras
from keras import ops

from lipot.layers.convolution_layer import OperatorNormalization, any_size_grid
from lipot.layers.spectral_layer import SpectralLayer
from lipot.math import convolution


@keras.saving.register_keras_serializable(package="lipot")
class SpectralConv2DTranspose(OperatorNormalization, SpectralLayer):
    r"""Transposed convolution with an orthonormal reshaped kernel, divided by its operator norm.

    It is the adjoint of a strided convolution from `filters` to the input channels, and has its
    norm.

    Args:
        filters: Positive int, number of output channels.
        kernel_size: Int or pair of ints.
        strides: Int or pair of ints, the factor by which the image grows.
        padding: `"same"` or `"valid"`.
        output_padding: Must be `None`: the output size is the inferred one.
        data_format: `"channels_last"` or `"channels_first"`.
        dilation_rate: Must be 1.
        activation: Activation name, function or 1-Lipschitz layer. Defaults to linear.
        use_bias: Whether to add a bias.
        kernel_initializer: Defaults to an orthonormal reshaped kernel.
        bias_initializer: Initializer of the bias.
        kernel_regularizer: Regularizer of the trainable kernel.
        bias_regularizer: Regularizer of the bias.
        activity_regularizer: Regularizer of the output.
        kernel_constraint: Constraint applied to the trainable kernel after each step, before
            the layer's own projection.
        bias_constraint: Constraint of the bias.
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        eps_spectral: Kept for compatibility of configurations.
        eps_bjorck: Residual at which the inference kernel counts as orthonormal; `None` for
            spectral normalization alone.
        beta_bjorck: Step of the Björck iteration, in `(0, 0.5]`.
        maxiter_spectral: Power iterations in a training step.
        maxiter_bjorck: Björck iterations in a training step of `"bjorck"`.
        orthogonalizer: `"retraction"`, `"bjorck"` or `"cholesky"`, see `SpectralDense`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; a height or width of `None` is bounded for all sizes.

    Output shape:
        `(batch, height * stride, width * stride, filters)` for `"same"`.

    Lipschitz bound:
        That of the convolution it is the adjoint of, see `SpectralConv2D`.

    Raises:
        ValueError: An argument out of its range, named in the message.

    Reference:
        Serrurier et al., "Achieving robustness in classification using optimal transport with
        hinge regularization", section 4.1.

    Example:

    >>> import numpy as np
    >>> layer = SpectralConv2DTranspose(4, 3, strides=2)
    >>> layer(np.ones((2, 8, 8, 3), "float32")).shape == (2, 16, 16, 4)
    True
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="same",
        output_padding=None,
        data_format=None,
        dilation_rate=(1, 1),
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
        eps_spectral=1e-3,
        eps_bjorck=1e-3,
        beta_bjorck=0.5,
        maxiter_spectral=3,
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
            eps_spectral=eps_spectral,
            eps_bjorck=eps_bjorck,
            beta_bjorck=beta_bjorck,
            maxiter_spectral=maxiter_spectral,
            maxiter_bjorck=maxiter_bjorck,
            orthogonalizer=orthogonalizer,
            **kwargs,
        )
        self.set_geometry(filters, kernel_size, strides, padding, data_format, dilation_rate)
        if self.padding not in ("same", "valid"):
            raise ValueError(
                "Invalid value received for argument `padding`. Expected 'same' or 'valid'. "
                f"Received: padding={padding!r}"
            )
        if output_padding is not None:
            raise ValueError(
                "Invalid value received for argument `output_padding`. Expected None. "
                f"Received: output_padding={output_padding!r}"
            )
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        channels = self.read_input_shape(input_shape)
        self.add_spectral_weights((*self.kernel_size, self.filters, channels), self.filters)
        self.add_singular_image(channels)
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={self.channel_axis: channels})
        self.built = True

    def linear_map(self, inputs, kernel):
        return ops.conv_transpose(
            inputs,
            kernel,
            strides=self.strides,
            padding=self.padding,
            data_format=self.data_format,
        )

    def linear_norm(self, kernel):
        if self._image_size is None:
            grid, factor = any_size_grid(self.kernel_size, self.strides)
            return factor * convolution.circular_norm(kernel, grid, strides=self.strides)
        return convolution.transposed_bound(kernel, self._image_size, strides=self.strides)

    def norm_bound_tensor(self, kernel):
        """In-graph counterpart of `linear_norm`."""
        if self._image_size is None:
            grid, factor = any_size_grid(self.kernel_size, self.strides)
            return factor * convolution.circular_gram_bound(kernel, grid, strides=self.strides)
        size = convolution.scattered_size(self.kernel_size, self._image_size, self.strides)
        return convolution.gram_bound(kernel, size, strides=self.strides, padding="valid")

    def rounding_norm_factor(self):
        return self.duplication() ** 0.5

    def compute_output_shape(self, input_shape):
        shape = list(input_shape)
        for axis, k, s in zip(self.spatial_axes, self.kernel_size, self.strides):
            if shape[axis] is not None:
                shape[axis] = shape[axis] * s + (max(k - s, 0) if self.padding == "valid" else 0)
        shape[self.channel_axis] = self.filters
        return tuple(shape)

    def vanilla_export(self):
        """Returns a `keras.layers.Conv2DTranspose` with the same outputs at inference."""
        self.check_built()
        layer = keras.layers.Conv2DTranspose(
            self.filters,
            self.kernel_size,
            strides=self.strides,
            padding=self.padding,
            data_format=self.data_format,
            activation=self.activation,
            use_bias=self.use_bias,
            name=self.name,
            dtype=self.dtype_policy,
        )
        shape = [None] * 4
        shape[self.channel_axis] = self.kernel.shape[3]
        return self.export_to(layer, tuple(shape))

    def get_config(self):
        return {**super().get_config(), **self.geometry_config(), "output_padding": None}
