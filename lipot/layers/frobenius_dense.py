"""Dense layer whose kernel is divided by its Frobenius norm: exact and cheap for few outputs."""

import keras

from lipot import checks
from lipot.layers import parametrizations
from lipot.layers.kernel_layer import KernelLayer
from lipot.math import linear_maps


@keras.saving.register_keras_serializable(package="lipot")
class FrobeniusDense(KernelLayer):
    r"""Dense layer whose kernel is divided by its Frobenius norm.

    With one unit this equals spectral normalization. With `disjoint_neurons=True` each column is
    divided by its own norm: every output is `k_coef_lip`-Lipschitz on its own, as one-vs-all
    hinge-KR classifiers need (hKR, section 4.2), and the vector of `q` outputs jointly is at
    most $k \sqrt q$-Lipschitz.

    Args:
        units: Positive int, width of the output.
        activation: Activation name, function or 1-Lipschitz layer. Defaults to linear.
        use_bias: Whether to add a bias.
        kernel_initializer: Defaults to an orthonormal matrix.
        bias_initializer: Initializer of the bias.
        kernel_regularizer: Regularizer of the trainable kernel.
        bias_regularizer: Regularizer of the bias.
        activity_regularizer: Regularizer of the output.
        kernel_constraint: Constraint of the trainable kernel.
        bias_constraint: Constraint of the bias.
        disjoint_neurons: Whether each output has its own norm.
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., features)`

    Output shape:
        `(batch, ..., units)`

    Lipschitz bound:
        The largest singular value of the kernel applied, in float64, times the activation's.

    Raises:
        ValueError: An argument out of its range, named in the message.

    Reference:
        Serrurier et al., "Achieving robustness in classification using optimal transport with
        hinge regularization", section 4.2.

    Example:

    >>> import numpy as np
    >>> layer = FrobeniusDense(1)
    >>> outputs = layer(np.ones((2, 16), "float32"))
    >>> outputs.shape == (2, 1), round(layer.lipschitz_bound, 4)
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
        disjoint_neurons=True,
        k_coef_lip=1.0,
        **kwargs,
    ):
        super().__init__(
            linear_maps.Dense(checks.positive_int("units", units)),
            parametrizations.Frobenius(checks.boolean("disjoint_neurons", disjoint_neurons)),
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
