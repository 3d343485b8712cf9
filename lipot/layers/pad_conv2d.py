"""Convolution with any padding and a free kernel: not 1-Lipschitz."""

import keras

from lipot.layers import parametrizations
from lipot.layers.kernel_layer import KernelLayer
from lipot.math import linear_maps


@keras.saving.register_keras_serializable(package="lipot")
class PadConv2D(KernelLayer):
    r"""`keras.layers.Conv2D` with more paddings, and no constraint on its kernel.

    `output = activation(conv(pad(input), kernel) + bias)`, where the padding adds half a kernel
    on each side: zeros, or values of the image. It is what a constrained convolution turns into
    once it is trained, and takes the place of deel-lip's layer of this name.

    Args:
        filters: Positive int, channels of the output.
        kernel_size: Int or pair.
        strides: Int or pair.
        padding: `"same"`, `"valid"`, `"constant"`, `"symmetric"`, `"reflect"` or `"circular"`.
        data_format: `"channels_last"` or `"channels_first"`; `None` is Keras's global setting.
        dilation_rate: 1; anything else is refused.
        activation: As in `keras.layers.Conv2D`, like the arguments that follow.
        use_bias: As in `keras.layers.Conv2D`.
        kernel_initializer: As in `keras.layers.Conv2D`.
        bias_initializer: As in `keras.layers.Conv2D`.
        kernel_regularizer: As in `keras.layers.Conv2D`.
        bias_regularizer: As in `keras.layers.Conv2D`.
        activity_regularizer: As in `keras.layers.Conv2D`.
        kernel_constraint: As in `keras.layers.Conv2D`.
        bias_constraint: As in `keras.layers.Conv2D`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, rows, columns, channels)`, or `(batch, channels, rows, columns)`.

    Output shape:
        `(batch, new_rows, new_columns, filters)`, or with the channels first.

    Lipschitz bound:
        A proven bound of the norm of the padded convolution, from the kernel as it is, times the
        activation's. Nothing keeps it small.

    Example:

    >>> import numpy as np
    >>> layer = PadConv2D(1, 3, padding="circular", kernel_initializer="ones", use_bias=False)
    >>> outputs = layer(np.ones((1, 4, 4, 1), "float32"))
    >>> float(outputs[0, 0, 0, 0]), round(layer.lipschitz_bound, 3)
    (9.0, 9.0)
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
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
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
            parametrizations.Parametrization(),
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            # Nothing here could keep another constant.
            k_coef_lip=1.0,
            **kwargs,
        )

    def get_config(self):
        config = super().get_config()
        del config["k_coef_lip"]
        return config
