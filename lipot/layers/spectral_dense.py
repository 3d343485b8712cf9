"""Dense layer with an orthonormal kernel."""

import keras

from lipot import checks
from lipot.layers import parametrizations
from lipot.layers.kernel_layer import KernelLayer
from lipot.math import linear_maps


@keras.saving.register_keras_serializable(package="lipot")
class SpectralDense(KernelLayer):
    r"""Dense layer whose kernel has all singular values equal to `k_coef_lip`.

    `output = activation(input @ W + bias)` with $W^\top W = k^2 I$ (or $W W^\top = k^2 I$ where
    the layer widens): 1-Lipschitz, and gradient norm preserving.

    Args:
        units: Positive int, width of the output.
        activation: Activation name, function or 1-Lipschitz layer. Defaults to linear.
        use_bias: Whether to add a bias.
        kernel_initializer: Defaults to an orthonormal matrix.
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
        orthogonalizer: `"retraction"` (default: the kernel itself is brought back to the
            orthonormal matrices after each step), `"bjorck"` (the hKR paper: 15 iterations
            inside the training step) or `"cholesky"`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., features)`

    Output shape:
        `(batch, ..., units)`

    Lipschitz bound:
        The largest singular value of the inference kernel, by SVD in float64, times the
        activation's; `k_coef_lip` up to rounding.

    Raises:
        ValueError: An argument out of its range, named in the message.

    Reference:
        Serrurier et al., "Achieving robustness in classification using optimal transport with
        hinge regularization", section 4.1.

    Example:

    >>> import numpy as np
    >>> layer = SpectralDense(8)
    >>> outputs = layer(np.ones((2, 16), "float32"))
    >>> outputs.shape == (2, 8), round(layer.lipschitz_bound, 4)
    (True, 1.0)
    """

    def __init__(
        self,
        units,
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
            linear_maps.Dense(checks.positive_int("units", units)),
            parametrizations.Spectral(
                orthogonalizer=orthogonalizer,
                eps_spectral=eps_spectral,
                eps_bjorck=eps_bjorck,
                beta_bjorck=beta_bjorck,
                maxiter_spectral=maxiter_spectral,
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
        self.supports_masking = True
