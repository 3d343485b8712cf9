"""Orthogonal convolution as the exponential of a skew-symmetric one."""

import keras

from lipot.layers.kernel_layer import KernelLayer
from lipot.layers.skew_parametrization import Skew
from lipot.math import linear_maps


@keras.saving.register_keras_serializable(package="lipot")
class SkewOrthogonalConv2D(KernelLayer):
    r"""Exponential of a skew-symmetric convolution, as a truncated series (SOC).

    $$ y = \sigma\Bigl(k \sum_{j < n} \frac{A^j x}{j!} + b\Bigr), \qquad A = -A^\top $$

    $A$ is the convolution with the kernel $W - W^*$, where $W$ is free and $W^*$ is the kernel of
    its adjoint, divided by a bound of its norm where that exceeds 1. With more filters than
    channels the input gets channels of zeros first; with fewer, the first `filters` channels are
    kept. With strides, blocks of pixels move into the channels first. One call costs `terms - 1`
    convolutions: `OrthogonalConv2D` is the cheaper way to orthogonality.

    Args:
        filters: Positive int, number of output channels.
        kernel_size: Odd int or pair of odd ints.
        strides: Int or pair of ints that divide the image.
        padding: `"same"` (zeros) or `"circular"`.
        data_format: `"channels_last"` or `"channels_first"`; `None` is Keras's global setting.
        terms: Positive int $n$, terms of the series at inference.
        training_terms: Positive int, terms while training.
        activation: Activation name, function or 1-Lipschitz layer. Defaults to linear.
        use_bias: Whether to add a bias.
        kernel_initializer: Initializer of the free kernel.
        bias_initializer: Initializer of the bias.
        kernel_regularizer: Regularizer of the free kernel.
        bias_regularizer: Regularizer of the bias.
        activity_regularizer: Regularizer of the output.
        kernel_constraint: Constraint of the free kernel.
        bias_constraint: Constraint of the bias.
        k_coef_lip: Positive float $k$, the Lipschitz constant to ensure.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)`.

    Output shape:
        `(batch, height / strides[0], width / strides[1], filters)`, or with the channels first.

    Lipschitz bound:
        $k (1 + \|A\|^n / n!)$ times that of the activation: the exponential itself is
        orthogonal, and the series leaves off at most $\|A\|^n / n!$ (see `lipot.math.skew`).
        $\|A\|$ is bounded in float64 for images of every size; it is 1 at most, and with 12 terms
        the bound exceeds `k_coef_lip` by 2e-9.

    Raises:
        ValueError: An argument out of its range, named in the message.

    Reference:
        Singla and Feizi, "Skew orthogonal convolutions" (ICML 2021).

    Example:

    >>> import numpy as np
    >>> layer = SkewOrthogonalConv2D(3, 3, padding="circular", use_bias=False)
    >>> x = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype("float32")
    >>> round(float(np.linalg.norm(layer(x)) / np.linalg.norm(x)), 4)
    1.0
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="same",
        data_format=None,
        terms=12,
        training_terms=6,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_normal",
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
            linear_maps.SkewExponential(
                filters,
                kernel_size,
                strides,
                padding,
                data_format,
                terms=terms,
                training_terms=training_terms,
            ),
            Skew(),
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
