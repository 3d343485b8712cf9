"""2D convolution that is 1-Lipschitz on its real input size."""

import keras

from lipot.layers import parametrizations
from lipot.layers.kernel_layer import KernelLayer
from lipot.math import linear_maps


@keras.saving.register_keras_serializable(package="lipot")
class SpectralConv2D(KernelLayer):
    r"""2D convolution with an orthonormal reshaped kernel, divided by its operator norm.

    `output = activation(conv2d(pad(input), k_coef_lip * W / |W|) + bias)`, where the kernel
    reshaped to `(kh * kw * cin, filters)` is orthonormal and $|W|$ bounds the norm of the
    convolution, padding included, on the size of image the layer was built for.

    Args:
        filters: Positive int, number of output channels.
        kernel_size: Int or pair of ints.
        strides: Int or pair of ints.
        padding: `"same"`, `"valid"`, `"constant"` (zeros, half the kernel on each side),
            `"circular"`, `"reflect"` or `"symmetric"`.
        data_format: `"channels_last"` or `"channels_first"`; `None` is Keras's global setting.
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
        eps_spectral: Positive float without effect, kept for configurations of deel-lip: power
            iterations are counted by `maxiter_spectral`.
        eps_bjorck: Residual at which the inference kernel counts as orthonormal; `None` for
            spectral normalization alone.
        beta_bjorck: Step of the Björck iteration, in `(0, 0.5]`.
        maxiter_spectral: Power iterations in a training step.
        maxiter_bjorck: Björck iterations in a training step of `"bjorck"`.
        orthogonalizer: `"retraction"`, `"bjorck"` or `"cholesky"`, see `SpectralDense`.
        normalization: `"operator"` (default), which makes the layer `k_coef_lip`-Lipschitz, or
            `"average"`, the factor of hKR eq. 11, which is **not a bound**: the layer may
            exceed `k_coef_lip`, and `lipschitz_bound` then says by how much.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)`; a height or width
        of `None` is bounded for all sizes.

    Output shape:
        `(batch, new_height, new_width, filters)`, or with the channels first.

    Lipschitz bound:
        The norm of the inference kernel's circular convolution on a grid that contains the
        padded image, in float64, times the norm of the padding and of the activation; on large
        images up to 1 % above it, as it is that of all sizes. At most `k_coef_lip` up
        to rounding with `normalization="operator"`.

    Raises:
        ValueError: An argument out of its range, named in the message.

    Reference:
        Serrurier et al., "Achieving robustness in classification using optimal transport with
        hinge regularization", section 4.1 and eq. 11.

    Example:

    >>> import numpy as np
    >>> layer = SpectralConv2D(4, 3)
    >>> layer(np.ones((2, 8, 8, 3), "float32")).shape == (2, 8, 8, 4)
    True
    >>> 0.9 < layer.lipschitz_bound < 1.00001
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
        eps_spectral=1e-3,
        eps_bjorck=1e-3,
        beta_bjorck=0.5,
        maxiter_spectral=3,
        maxiter_bjorck=15,
        orthogonalizer="retraction",
        normalization="operator",
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
            parametrizations.Spectral(
                orthogonalizer=orthogonalizer,
                eps_spectral=eps_spectral,
                eps_bjorck=eps_bjorck,
                beta_bjorck=beta_bjorck,
                maxiter_spectral=maxiter_spectral,
                maxiter_bjorck=maxiter_bjorck,
                normalization=normalization,
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
