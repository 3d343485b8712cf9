"""Dense residual block that is 1-Lipschitz by a semidefinite condition on its kernel."""

import keras
from keras import ops

from lipot import checks
from lipot.layers.sdp_residual_layer import SDPResidualLayer
from lipot.math import linear_maps
from lipot.math.scaling import scale


@keras.saving.register_keras_serializable(package="lipot")
class SDPResidualDense(SDPResidualLayer):
    r"""Dense residual block that is 1-Lipschitz by construction (SLL).

    $$ y = k \bigl(x - 2 W T^{-1} \mathrm{relu}(W^\top x + b)\bigr), \qquad
       T_i = \sum_j |W^\top W|_{ij} \frac{q_j}{q_i} $$

    with a free kernel $W$ and trained scales $q > 0$. No matrix is made orthonormal. ReLU lets
    positive factors through, so the layer applies the one kernel $K = \sqrt 2\, W T^{-1/2}$
    on both sides, $x - K\,\mathrm{relu}(K^\top x + b)$; the bias it stores is that of the formula
    times $\sqrt{2 / T}$.

    Args:
        units: Positive int, width of the hidden layer inside the block.
        kernel_initializer: Initializer of the trainable kernel.
        bias_initializer: Initializer of the bias.
        scale_initializer: Initializer of the logarithms of the scales $q$.
        kernel_regularizer: Regularizer of the trainable kernel.
        bias_regularizer: Regularizer of the bias.
        k_coef_lip: Positive float $k$, the Lipschitz constant to ensure.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., features)`

    Output shape:
        Same as the input.

    Lipschitz bound:
        $k \max(1, \|K\|^2 - 1)$, where $\|K\|^2$ is bounded in float64 from the kernel as it was
        rounded (see `lipot.math.sdp`). By construction it is at most 2, and the bound `k_coef_lip`.
        In l-infinity $k (1 + \|K\|_\infty \|K^\top\|_\infty)$.

    Raises:
        ValueError: An argument out of its range, named in the message.

    Reference:
        Araujo et al., "A unified algebraic perspective on Lipschitz neural networks" (ICLR 2023),
        the SDP-based Lipschitz layer (SLL).

    Example:

    >>> import numpy as np
    >>> layer = SDPResidualDense(32)
    >>> layer(np.ones((2, 8), "float32")).shape == (2, 8), layer.lipschitz_bound
    (True, 1.0)
    """

    def __init__(
        self,
        units,
        kernel_initializer="glorot_normal",
        bias_initializer="zeros",
        scale_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        k_coef_lip=1.0,
        **kwargs,
    ):
        super().__init__(
            linear_maps.Dense(checks.positive_int("units", units)),
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            scale_initializer=scale_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            k_coef_lip=k_coef_lip,
            **kwargs,
        )
        self.supports_masking = True

    def vanilla_export(self):
        """Returns a functional model of stock Keras layers with the same outputs."""
        kernel, bias = (
            ops.convert_to_numpy(ops.cast(weight, self.variable_dtype))
            for weight in (self.inference_kernel, self.bias)
        )
        inputs = keras.Input(self.get_build_config()["input_shape"][1:], dtype=self.compute_dtype)
        into = keras.layers.Dense(self.units, "relu", dtype=self.dtype_policy)
        back = keras.layers.Dense(kernel.shape[0], use_bias=False, dtype=self.dtype_policy)
        moved = back(into(inputs))
        into.set_weights([kernel, bias])
        back.set_weights([kernel.T])
        return keras.Model(inputs, scale(inputs - moved, self.k_coef_lip), name=self.name)
