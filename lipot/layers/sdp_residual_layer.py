"""What the residual blocks that are 1-Lipschitz by a semidefinite condition share."""

import math

import keras
import numpy as np
from keras import ops

from lipot.layers.base import LipschitzLayer
from lipot.layers.cached_kernel_layer import CachedKernel
from lipot.math import sdp
from lipot.math.scaling import scale


class SDPResidualLayer(CachedKernel, LipschitzLayer):
    r"""`x - K relu(K^T x + b)` for a kernel $K$ of squared norm at most 2.

    A subclass says what $K^\top$ and $K$ do to a batch: `into` and `back`.

    Args:
        kernel_initializer: Initializer of the trainable kernel.
        bias_initializer: Initializer of the bias.
        scale_initializer: Initializer of the logarithms of the scales $q$.
        kernel_regularizer: Regularizer of the trainable kernel.
        bias_regularizer: Regularizer of the bias.
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(
        self,
        *,
        kernel_initializer="glorot_normal",
        bias_initializer="zeros",
        scale_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        k_coef_lip=1.0,
        **kwargs,
    ):
        super().__init__(k_coef_lip=k_coef_lip, **kwargs)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.scale_initializer = keras.initializers.get(scale_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)

    def add_residual_weights(self, kernel_shape):
        """Creates the kernel, the scales, the bias and the state behind the inference kernel."""
        hidden = kernel_shape[-1:]
        self.kernel = self.add_weight(
            name="kernel",
            shape=kernel_shape,
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            autocast=False,
        )
        self.log_scale = self.add_weight(
            name="log_scale", shape=hidden, initializer=self.scale_initializer, autocast=False
        )
        self.bias = self.add_weight(
            name="bias",
            shape=hidden,
            initializer=self.bias_initializer,
            regularizer=self.bias_regularizer,
        )
        self.add_cached_kernel(kernel_shape)

    def into(self, inputs, kernel):
        r"""Applies $K^\top$ to a batch."""
        raise TypeError(f"{type(self).__name__} must define into().")

    def back(self, hidden, kernel):
        """Applies $K$ to a batch, the adjoint of `into`."""
        raise TypeError(f"{type(self).__name__} must define back().")

    def call(self, inputs, training=False):
        kernel = ops.cast(self.cached_kernel(training), self.compute_dtype)
        hidden = ops.relu(self.into(inputs, kernel) + self.bias_on_channels())
        return scale(inputs - self.back(hidden, kernel), self.k_coef_lip)

    def bias_on_channels(self):
        """The bias, shaped to meet the hidden values."""
        return self.bias

    @property
    def inference_kernel(self):
        """The kernel $K$ applied at inference, rounded to the compute dtype as `call` does."""
        if not self.built:
            raise ValueError(
                f"Layer '{self.name}' has no weights yet. Expected a built layer: call it on "
                "data or give its model an input shape first."
            )
        return ops.cast(self.cached_kernel(training=False), self.compute_dtype)

    @property
    def lipschitz_bound(self):
        """Proven bound of the layer's l2 Lipschitz constant at inference, in float64."""
        dtype = "float64" if self.compute_dtype == "float64" else "float32"
        kernel = ops.convert_to_numpy(ops.cast(self.inference_kernel, dtype))
        if not np.all(np.isfinite(kernel)):
            raise ValueError(
                f"The kernel of layer '{self.name}' holds NaN or infinite values; no Lipschitz "
                "bound exists. Load a finite checkpoint or lower the learning rate."
            )
        return self.k_coef_lip * sdp.residual_bound(kernel)

    def _training_kernel(self):
        return sdp.residual_kernel(self.kernel.value, self.log_scale.value)

    def _exact_kernel(self):
        kernel = ops.stop_gradient(self._training_kernel())
        # K / sqrt(2) has norm one at most, and so has each of its columns.
        return kernel / self.rounding_allowance(self.bias.shape[0], math.prod(kernel.shape))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "scale_initializer": keras.initializers.serialize(self.scale_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
        }
