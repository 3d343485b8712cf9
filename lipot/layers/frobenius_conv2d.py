"""2D convolution whose kernel is divided by its Frobenius norm."""

import keras

from lipot.layers import parametrizations
from lipot.layers.kernel_layer import KernelLayer
from lipot.math import linear_maps


@keras.saving.register_keras_serializable(package="lipot")
class FrobeniusConv2D(KernelLayer):
    r"""2D convolution whose kernel is divided by its Frobenius norm, and more if patches overlap.

    A convolution's norm is at most $\sqrt{D}\,\|W\|_F$, where $D$ counts the patches one input
    value enters: `ceil(kh / sh) * ceil(kw / sw)`. For reflect and symmetric padding, which
    repeat values, the norm of the padding divides too.

    Args:
        filters: Positive int, number of output channels.
        kernel_size: Int or pair of ints.
        strides: Int or pair of ints.
        padding: As in `SpectralConv2D`.
        data_format: `"channels_last"` or `"channels_first"`; `None` is Keras's global setting.
        dilation_rate: Must be 1.
        activation: Activation name, function or 1-Lipschitz layer. Defaults to linear.
        use_bias: Whether to add a bias.
        kernel_initializer: Defaults to an orthonormal reshaped kernel.
        bias_initializer: Initializer of the bias.
        kernel_regularizer: Regularizer of the trainable kernel.
        bias_regularizer: Regularizer of the bias.
        activity_regularizer: Regularizer of the output.
        kernel_constraint: Constraint of the trainable kernel.
        bias_constraint: Constraint of the bias.
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)`.

    Output shape:
        `(batch, new_height, new_width, filters)`, or with the channels first.

    Lipschitz bound:
        As `SpectralConv2D`, from the kernel that is applied.

    Raises:
        ValueError: An argument out of its range, named in the message.

    Reference:
        Serrurier et al., "Achieving robustness in classification using optimal transport with
        hinge regularization", section 4.1.

    Example:

    >>> import numpy as np
    >>> layer = FrobeniusConv2D(4, 3)
    >>> layer(np.ones((2, 8, 8, 3), "float32")).shape == (2, 8, 8, 4)
    True
    >>> layer.lipschitz_bound <= 1.00001
    True
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="same",
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
        **kwargs,
    ):
        super().__init__(
            linear_maps.Conv2D(
                filters,
                kernel_size,
                strides,
                padding,
                data_format,
                linear_maps.undilated(dilation_rate),
            ),
            parametrizations.Frobenius(),
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
