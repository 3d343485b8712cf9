"""The parts that dense and convolution layers with a constrained kernel share."""

import keras
import numpy as np
from keras import ops

from lipot.layers.activation_bounds import activation_bound
from lipot.layers.base import Condensable, LipschitzLayer


class KernelLayer(Condensable, LipschitzLayer):
    """A linear map with a constrained kernel, a bias and an activation.

    A subclass says which linear map a kernel stands for (`linear_map`, `linear_norm`) and which
    kernel is applied (`effective_kernel`).

    Args:
        activation: As in `keras.layers.Dense`.
        use_bias: As in `keras.layers.Dense`.
        kernel_initializer: As in `keras.layers.Dense`.
        bias_initializer: As in `keras.layers.Dense`.
        kernel_regularizer: As in `keras.layers.Dense`.
        bias_regularizer: As in `keras.layers.Dense`.
        activity_regularizer: As in `keras.layers.Dense`.
        kernel_constraint: As in `keras.layers.Dense`.
        bias_constraint: As in `keras.layers.Dense`.
        **kwargs: `k_coef_lip` and the arguments of `keras.layers.Layer`.
    """

    def __init__(
        self,
        *,
        activation=None,
        use_bias=True,
        kernel_initializer=None,
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)

    def add_kernel_and_bias(self, kernel_shape, units, constraint=None):
        """Creates the weights; the kernel stays in the variable dtype under mixed precision."""
        self.kernel = self.add_weight(
            name="kernel",
            shape=kernel_shape,
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=constraint or self.kernel_constraint,
            autocast=False,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def linear_map(self, inputs, kernel):
        """Applies the linear map of a kernel to a batch."""
        raise TypeError(f"{type(self).__name__} must define linear_map().")

    def linear_norm(self, kernel):
        """Proven bound (float64) of the norm of the linear map of a NumPy kernel."""
        raise TypeError(f"{type(self).__name__} must define linear_norm().")

    def effective_kernel(self, training):
        """The kernel that one call applies, in the variable dtype."""
        raise TypeError(f"{type(self).__name__} must define effective_kernel().")

    def call(self, inputs, training=False):
        kernel = ops.cast(self.effective_kernel(training), self.compute_dtype)
        outputs = self.linear_map(inputs, kernel)
        if self.bias is not None:
            outputs = self.add_bias(outputs)
        return self.activation(outputs)

    def add_bias(self, outputs):
        """Adds the bias along the last axis."""
        return ops.add(outputs, self.bias)

    @property
    def inference_kernel(self):
        """The kernel applied at inference, rounded to the compute dtype as `call` does."""
        self.check_built()
        return ops.cast(self.effective_kernel(training=False), self.compute_dtype)

    @property
    def lipschitz_bound(self):
        """Proven bound of the layer's l2 Lipschitz constant at inference, in float64."""
        kernel = np.asarray(ops.convert_to_numpy(ops.cast(self.inference_kernel, "float32")))
        if self.compute_dtype == "float64":
            kernel = np.asarray(ops.convert_to_numpy(self.inference_kernel))
        if not np.all(np.isfinite(kernel)):
            raise ValueError(
                f"The kernel of layer '{self.name}' holds NaN or infinite values; no Lipschitz "
                "bound exists. Load a finite checkpoint or lower the learning rate."
            )
        return self.linear_norm(kernel.astype("float64")) * activation_bound(self.activation)

    def condense(self):
        """Overwrites the trainable kernel with the one applied at inference."""
        self.kernel.assign(ops.cast(self.inference_kernel, self.variable_dtype) / self.k_coef_lip)

    def check_built(self):
        """Raises where the layer has no weights yet."""
        if not self.built:
            raise ValueError(
                f"Layer '{self.name}' has no weights yet. Expected a built layer: call it on "
                "data or give its model an input shape first."
            )

    def export_to(self, layer, input_shape, kernel=None):
        """Gives a stock layer the inference kernel, or another, and a bias if it has one."""
        layer.build(input_shape)
        weights = [self.inference_kernel if kernel is None else kernel]
        if layer.use_bias:
            weights.append(self.bias)
        layer.set_weights([ops.convert_to_numpy(ops.cast(w, layer.dtype)) for w in weights])
        return layer

    def get_config(self):
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }


def check_units(name, value):
    """Returns a positive int, or raises naming the argument."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(
            f"Invalid value received for argument `{name}`. Expected a positive integer. "
            f"Received: {name}={value!r}"
        )
    return int(value)


def divide_by_norm(kernel, axis, compute_dtype):
    """Divides a kernel by its Euclidean norm along `axis`, rounding to `compute_dtype` included.

    Args:
        kernel: Tensor.
        axis: Axis of the norm, or `None` for the whole kernel.
        compute_dtype: The dtype the kernel will be rounded to: a relative rounding error `u` of
            each entry changes the norm by `u` at most, so the result is shrunk by `1 + 2u`.

    Returns:
        Tensor like `kernel`, of norm at most one; zero stays zero.
    """
    norm = ops.sqrt(ops.sum(ops.square(kernel), axis=axis, keepdims=True))
    unit_roundoff = {"float16": 2.0**-11, "bfloat16": 2.0**-8}.get(compute_dtype, 2.0**-22)
    return kernel / (ops.maximum(norm, 1e-30) * (1.0 + 2.0 * unit_roundoff))
