"""What the residual blocks that are 1-Lipschitz by a semidefinite condition share."""

import keras
from keras import ops

from lipot.layers.applied_weights import applied_weight
from lipot.layers.parametrized_layer import ParametrizedLayer
from lipot.layers.sdp_parametrization import SDP
from lipot.math import sdp
from lipot.math.linear_maps.skew_exponential import convolved_sums
from lipot.math.norms import norm_of_ones, vector_norm
from lipot.math.rounding import LayerBound, values_in
from lipot.math.scaling import scale
from lipot.math.skew import adjoint_kernel


class SDPResidualLayer(ParametrizedLayer):
    r"""`x - K relu(K^T x + b)` for a kernel $K$ of squared norm at most 2.

    Args:
        linear_map: What $K^\top$ does to a batch, a `lipot.math.linear_maps.LinearMap`.
        bias_initializer: Initializer of the bias.
        scale_initializer: Initializer of the logarithms of the scales $q$.
        bias_regularizer: Regularizer of the bias.
        **kwargs: Arguments of `ParametrizedLayer`.
    """

    def __init__(
        self,
        linear_map,
        *,
        bias_initializer="zeros",
        scale_initializer="zeros",
        bias_regularizer=None,
        **kwargs,
    ):
        scales = keras.initializers.get(scale_initializer)
        super().__init__(linear_map, SDP(scales), **kwargs)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)

    def build(self, input_shape):
        self.add_kernel(input_shape)
        self.bias = self.add_weight(
            name="bias",
            shape=(self.linear_map.units,),
            initializer=self.bias_initializer,
            regularizer=self.bias_regularizer,
        )
        self.built = True

    def call(self, inputs, training=False):
        self.linear_map.check(inputs.shape)
        kernel = ops.cast(self.effective_kernel(training), self.compute_dtype)
        hidden = self.linear_map.add_bias(self.linear_map.apply(inputs, kernel), self.bias)
        moved = self.linear_map.apply(ops.relu(hidden), _adjoint(kernel))
        return scale(inputs - moved, self.k_coef_lip)

    def bound(self, input_shape, norm=2):
        # The error of each of the two maps is that of `lipot.math.linear_maps`, times the norms
        # of what follows.
        self.check_built()
        kernel = self.applied_kernel()
        taps = kernel if kernel.ndim == 4 else kernel[None, None]
        back = taps.transpose(0, 1, 3, 2)
        into_sums, back_sums = convolved_sums(taps, norm), max(1.0, convolved_sums(back, norm))
        bias = vector_norm(applied_weight(self, "bias"), norm)
        bias = bias * norm_of_ones(values_in(input_shape) / taps.shape[2], norm)
        factor = max(1.0, self.applied_factor)
        # In l-infinity nothing of the two kernels cancels that a bound could count on.
        constant = sdp.residual_bound(kernel) if norm == 2 else 1.0 + into_sums * back_sums
        return LayerBound(
            lipschitz=self.applied_factor * constant,
            # Both sums, the bias, the difference, and the factor.
            roundings=taps[..., 0].size + back[..., 0].size + 6,
            gain=factor * (1.0 + into_sums * back_sums),
            offset=factor * float(bias) * back_sums,
            output_roundings=2,
        )

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "scale_initializer": keras.initializers.serialize(self.scale_initializer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
        }


def _adjoint(kernel):
    """The kernel that applies $K$ where the one given applies its transpose."""
    if len(kernel.shape) == 2:
        return ops.transpose(kernel)
    return adjoint_kernel(kernel)
