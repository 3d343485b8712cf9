"""Convolutional residual block that is 1-Lipschitz by a semidefinite condition on its kernel."""

import keras

from lipot.layers.sdp_residual_layer import SDPResidualLayer
from lipot.layers.vanilla import stock_convolution
from lipot.math import linear_maps
from lipot.math.linear_maps.skew_exponential import check_centered
from lipot.math.scaling import scale
from lipot.math.skew import adjoint_kernel


@keras.saving.register_keras_serializable(package="lipot")
class SDPResidualConv2D(SDPResidualLayer):
    r"""Convolutional residual block that is 1-Lipschitz by construction (SLL).

    $$ y = k \bigl(x - 2 W T^{-1} \mathrm{relu}(W^\top x + b)\bigr), \qquad
       T_i = \sum_j \sum_t |R_{ij}[t]| \frac{q_j}{q_i} $$

    where $W^\top$ is a convolution with a free kernel, $W$ its adjoint, $R_{ij}[t]$ the correlation
    of filters $i$ and $j$ at shift $t$, and $q > 0$ are trained scales. As in `SDPResidualDense`
    one kernel $\sqrt 2\, W T^{-1/2}$ is applied on both sides.

    Args:
        filters: Positive int, number of hidden channels inside the block.
        kernel_size: Odd int or pair of odd ints.
        padding: `"same"` (zeros) or `"circular"`.
        data_format: `"channels_last"` or `"channels_first"`; `None` is Keras's global setting.
        kernel_initializer: Initializer of the trainable kernel.
        bias_initializer: Initializer of the bias.
        scale_initializer: Initializer of the logarithms of the scales $q$.
        kernel_regularizer: Regularizer of the trainable kernel.
        bias_regularizer: Regularizer of the bias.
        k_coef_lip: Positive float $k$, the Lipschitz constant to ensure.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)`.

    Output shape:
        Same as the input.

    Lipschitz bound:
        $k \max(1, \|K\|^2 - 1)$, where $\|K\|^2$ is bounded in float64 for images of every size,
        from the kernel as it was rounded (see `lipot.math.sdp`). By construction it is at most 2,
        and the bound `k_coef_lip`. In l-infinity $k (1 + \|K\|_\infty \|K^\top\|_\infty)$.

    Raises:
        ValueError: An argument out of its range, named in the message.

    Reference:
        Araujo et al., "A unified algebraic perspective on Lipschitz neural networks" (ICLR 2023),
        the SDP-based Lipschitz layer (SLL).

    Example:

    >>> import numpy as np
    >>> layer = SDPResidualConv2D(16, 3)
    >>> layer(np.ones((2, 8, 8, 3), "float32")).shape == (2, 8, 8, 3), layer.lipschitz_bound
    (True, 1.0)
    """

    def __init__(
        self,
        filters,
        kernel_size,
        padding="same",
        data_format=None,
        kernel_initializer="glorot_normal",
        bias_initializer="zeros",
        scale_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        k_coef_lip=1.0,
        **kwargs,
    ):
        linear_map = linear_maps.Conv2D(
            filters, kernel_size, padding=padding, data_format=data_format
        )
        check_centered(linear_map.kernel_size, linear_map.padding)
        super().__init__(
            linear_map,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            scale_initializer=scale_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            k_coef_lip=k_coef_lip,
            **kwargs,
        )

    def vanilla_export(self):
        """Returns a functional model of stock Keras layers with the same outputs."""
        kernel, linear_map = self.inference_kernel, self.linear_map
        inputs = keras.Input(self.get_build_config()["input_shape"][1:], dtype=self.compute_dtype)
        into = stock_convolution(linear_map, kernel, self.dtype_policy, self.bias, "relu")
        back = stock_convolution(linear_map, adjoint_kernel(kernel), self.dtype_policy)
        moved = back(into(inputs))
        return keras.Model(inputs, scale(inputs - moved, self.k_coef_lip), name=self.name)
