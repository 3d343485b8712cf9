"""Transposed 2D convolution that is exactly orthogonal."""

import keras
from keras import ops

from lipot.layers.orthogonal_layer import OrthogonalLayer

PADDINGS = ("same", "valid", "circular")


@keras.saving.register_keras_serializable(package="lipot")
class OrthogonalConv2DTranspose(OrthogonalLayer):
    r"""Transposed convolution all of whose singular values are one: adjoint of `OrthogonalConv2D`.

    `output = activation(k_coef_lip * conv2d_transpose(input, K) + bias)`, where the convolution by
    `K` takes images of `filters` channels to images of the input's channels. With circular padding
    and `channels <= filters * s * s` the input's norm is kept, and the convolution by the same
    kernel takes the output back to the input.

    Args:
        filters: Positive int, number of output channels.
        kernel_size: Int or pair of ints.
        strides: Int or pair of ints, the factor by which the image grows.
        padding: `"same"`, `"valid"` or `"circular"`.
        output_padding: Must be `None`: the output size is the inferred one.
        data_format: `"channels_last"` or `"channels_first"`.
        dilation_rate: Must be 1.
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
        `(batch, height, width, channels)`; height and width may be `None`.

    Output shape:
        `(batch, height * stride, width * stride, filters)`; `"valid"` adds what the kernel exceeds
        the stride by.

    Lipschitz bound:
        That of the convolution it is the adjoint of, see `OrthogonalConv2D`.

    Raises:
        ValueError: An argument out of its range, or a combination of channels, filters, strides
            and padding that no orthogonal kernel has, with the reason.

    Reference:
        Boissin et al., "An adaptive orthogonal convolution scheme for efficient and flexible CNN
        architectures", 2025, section 3.

    Example:

    >>> import numpy as np
    >>> layer = OrthogonalConv2DTranspose(3, 4, strides=2, padding="circular", use_bias=False)
    >>> x = np.random.default_rng(0).normal(size=(1, 4, 4, 12)).astype("float32")
    >>> y = layer(x)
    >>> y.shape == (1, 8, 8, 3), round(float(np.linalg.norm(y) / np.linalg.norm(x)), 4)
    (True, 1.0)
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
        self.set_geometry(filters, kernel_size, strides, padding, data_format, dilation_rate)
        if self.padding not in PADDINGS:
            raise ValueError(
                f"Invalid value received for argument `padding`. Expected one of {PADDINGS}. "
                f"Received: padding={padding!r}"
            )
        if output_padding is not None:
            raise ValueError(
                "Invalid value received for argument `output_padding`. Expected None. "
                f"Received: output_padding={output_padding!r}"
            )
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def check_dilation(self):
        if self.dilation_rate != (1, 1):
            raise ValueError(
                "Invalid value received for argument `dilation_rate`. Expected 1: dilated "
                f"kernels are not supported. Received: dilation_rate={self.dilation_rate}"
            )

    def build(self, input_shape):
        channels = self.read_input_shape(input_shape)
        self.add_orthogonal_weights(self.filters, channels, groups=1)
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={self.channel_axis: channels})
        self.built = True

    def check_image(self, size):
        """Raises for an image that the kernel reaches around more than once."""
        excess = [max(k - s, 0) for k, s in zip(self.kernel_size, self.strides)]
        if self.padding == "circular" and any(
            n is not None and e > n * s for n, s, e in zip(size, self.strides, excess)
        ):
            raise ValueError(
                "Invalid value received for argument `kernel_size`. Expected a kernel that goes "
                f"around an image of size {size} no more than once. "
                f"Received: kernel_size={self.kernel_size}"
            )

    def linear_map(self, inputs, kernel):
        outputs = ops.conv_transpose(
            inputs,
            kernel,
            strides=self.strides,
            padding="same" if self.padding == "same" else "valid",
            data_format=self.data_format,
        )
        return self.fold(outputs) if self.padding == "circular" else outputs

    def fold(self, outputs):
        """Adds what the kernel writes beyond either end to the other end: adjoint of padding."""
        for axis, (before, after) in zip(self.spatial_axes, self.padding_amounts()):
            outputs = _fold_axis(outputs, axis, before, after)
        return outputs

    def circle(self, size):
        # The convolution that it is the adjoint of works on the larger image.
        return tuple(
            s * (n + (-(-k // s) if self.padding != "circular" else 0))
            for n, k, s in zip(size, self.kernel_size, self.strides)
        )

    def compute_output_shape(self, input_shape):
        shape = list(input_shape)
        for axis, k, s in zip(self.spatial_axes, self.kernel_size, self.strides):
            if shape[axis] is not None:
                shape[axis] = shape[axis] * s + (max(k - s, 0) if self.padding == "valid" else 0)
        shape[self.channel_axis] = self.filters
        return tuple(shape)

    def vanilla_export(self):
        """Returns stock Keras layers with the same outputs at inference.

        A `keras.layers.Conv2DTranspose`; with circular padding a functional model that folds the
        borders, then adds the bias by a depthwise convolution by one.
        """
        self.check_built()
        circular = self.padding == "circular"
        layer = keras.layers.Conv2DTranspose(
            self.filters,
            self.kernel_size,
            strides=self.strides,
            padding="same" if self.padding == "same" else "valid",
            data_format=self.data_format,
            activation=None if circular else self.activation,
            use_bias=self.use_bias and not circular,
            name=self.name,
            dtype=self.dtype_policy,
        )
        shape = [None] * 4
        shape[self.channel_axis] = self.inference_kernel.shape[3]
        layer = self.export_to(layer, tuple(shape))
        return self._export_folded(layer, shape) if circular else layer

    def _export_folded(self, layer, shape):
        for axis, n in zip(self.spatial_axes, self._image_size or (None, None)):
            shape[axis] = n
        inputs = keras.Input(shape[1:], dtype=self.compute_dtype)
        shift = keras.layers.DepthwiseConv2D(
            1,
            data_format=self.data_format,
            depthwise_initializer="ones",
            use_bias=self.use_bias,
            activation=self.activation,
            dtype=self.dtype_policy,
            name=f"{self.name}_bias",
        )
        model = keras.Model(inputs, shift(self.fold(layer(inputs))), name=f"{self.name}_folded")
        if self.use_bias:
            shift.bias.assign(self.bias)
        return model

    def get_config(self):
        return {**super().get_config(), **self.geometry_config(), "output_padding": None}


def _fold_axis(outputs, axis, before, after):
    if before + after == 0:
        return outputs

    def part(start, stop):
        index = [slice(None)] * len(outputs.shape)
        index[axis] = slice(start, stop)
        return outputs[tuple(index)]

    # Places before..end-after stay; the first `before` belong to the end, the last to the start.
    end = -after if after else None
    first = part(before, before + after)
    middle = part(before + after, -after - before)
    last = part(-after - before, end)
    pieces = [first + part(-after, None)] if after else []
    pieces.append(middle)
    if before:
        pieces.append(last + part(None, before))
    return ops.concatenate(pieces, axis=axis)
