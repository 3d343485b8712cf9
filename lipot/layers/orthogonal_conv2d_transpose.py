"""Transposed 2D convolution that is exactly orthogonal."""

import keras

from lipot.layers import parametrizations
from lipot.layers.kernel_layer import KernelLayer
from lipot.math import linear_maps


@keras.saving.register_keras_serializable(package="lipot")
class OrthogonalConv2DTranspose(KernelLayer):
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
        data_format: `"channels_last"` or `"channels_first"`; `None` is Keras's global setting.
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
        `(batch, height, width, channels)`, or `(batch, channels, height, width)`; height and width
        may be `None`.

    Output shape:
        `(batch, height * stride, width * stride, filters)`, or with the channels first; `"valid"`
        adds what the kernel exceeds the stride by.

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
            linear_maps.ClosedConv2DTranspose(
                filters,
                kernel_size,
                strides,
                padding,
                data_format,
                linear_maps.undilated(dilation_rate),
                output_padding,
            ),
            parametrizations.BlockOrthogonal(
                orthogonalizer=orthogonalizer,
                eps_bjorck=eps_bjorck,
                beta_bjorck=beta_bjorck,
                maxiter_bjorck=maxiter_bjorck,
            ),
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
            **kwargs,
        )
