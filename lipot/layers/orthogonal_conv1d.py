"""1D convolution that is exactly orthogonal."""

import keras

from lipot.layers import parametrizations
from lipot.layers.kernel_layer import KernelLayer
from lipot.math import linear_maps


@keras.saving.register_keras_serializable(package="lipot")
class OrthogonalConv1D(KernelLayer):
    r"""1D convolution all of whose singular values are one, on sequences of every length.

    `OrthogonalConv2D` on images one pixel wide.

    Args:
        filters: Positive int, number of output channels.
        kernel_size: Positive int.
        strides: Positive int.
        padding: As in `OrthogonalConv2D`.
        data_format: `"channels_last"` or `"channels_first"`; `None` is Keras's global setting.
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
        `(batch, steps, channels)`, or `(batch, channels, steps)`; steps may be `None`.

    Output shape:
        `(batch, new_steps, filters)`, or with the channels first.

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
            linear_maps.Conv1D(
                filters, kernel_size, strides, padding, data_format, dilation_rate, groups
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
