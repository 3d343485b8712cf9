"""Dense layer whose kernel is divided by its Frobenius norm: exact and cheap for few outputs."""

import keras
import numpy as np
from keras import ops

from lipot.layers.kernel_layer import KernelLayer, check_units, divide_by_norm


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
        self.units = check_units("units", units)
        self.disjoint_neurons = bool(disjoint_neurons)
        self.input_spec = keras.layers.InputSpec(min_ndim=2)

    def build(self, input_shape):
        self.add_kernel_and_bias((input_shape[-1], self.units), self.units)
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: input_shape[-1]})
        self.built = True

    def linear_map(self, inputs, kernel):
        return ops.matmul(inputs, kernel)

    def linear_norm(self, kernel):
        return float(np.linalg.norm(kernel, 2))

    def effective_kernel(self, training):
        axis = 0 if self.disjoint_neurons else None
        return self.k_coef_lip * divide_by_norm(self.kernel.value, axis, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def vanilla_export(self):
        """Returns a `keras.layers.Dense` with the same outputs."""
        self.check_built()
        layer = keras.layers.Dense(
            self.units,
            activation=self.activation,
            use_bias=self.use_bias,
            name=self.name,
            dtype=self.dtype_policy,
        )
        return self.export_to(layer, (None, self.kernel.shape[0]))

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "disjoint_neurons": self.disjoint_neurons,
        }
