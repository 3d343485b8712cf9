"""Orthogonal convolution as the exponential of a skew-symmetric one."""

import keras
from keras import ops

from lipot.layers.cached_kernel_layer import CachedKernelLayer
from lipot.layers.centered_convolution import CenteredConvolution
from lipot.layers.convolution_layer import check_pair
from lipot.layers.kernel_layer import check_units
from lipot.math import orthogonal, skew
from lipot.math.sampling import space_to_channels
from lipot.math.scaling import scale

# Power iterations of a training step; the vector is kept from step to step.
_ITERATIONS = 2


@keras.saving.register_keras_serializable(package="lipot")
class SkewOrthogonalConv2D(CenteredConvolution, CachedKernelLayer):
    r"""Exponential of a skew-symmetric convolution, as a truncated series (SOC).

    $$ y = \sigma\Bigl(k \sum_{j < n} \frac{A^j x}{j!} + b\Bigr), \qquad A = -A^\top $$

    $A$ is the convolution with the kernel $W - W^*$, where $W$ is free and $W^*$ is the kernel of
    its adjoint, divided by a bound of its norm where that exceeds 1. With more filters than
    channels the input gets channels of zeros first; with fewer, the first `filters` channels are
    kept. With strides, blocks of pixels move into the channels first. One call costs `terms - 1`
    convolutions: `OrthogonalConv2D` is the cheaper way to orthogonality.

    Args:
        filters: Positive int, number of output channels.
        kernel_size: Odd int or pair of odd ints.
        strides: Int or pair of ints that divide the image.
        padding: `"same"` (zeros) or `"circular"`.
        data_format: `"channels_last"` or `"channels_first"`; `None` is Keras's global setting.
        terms: Positive int $n$, terms of the series at inference.
        training_terms: Positive int, terms while training.
        activation: Activation name, function or 1-Lipschitz layer. Defaults to linear.
        use_bias: Whether to add a bias.
        kernel_initializer: Initializer of the free kernel.
        bias_initializer: Initializer of the bias.
        kernel_regularizer: Regularizer of the free kernel.
        bias_regularizer: Regularizer of the bias.
        activity_regularizer: Regularizer of the output.
        kernel_constraint: Constraint of the free kernel.
        bias_constraint: Constraint of the bias.
        k_coef_lip: Positive float $k$, the Lipschitz constant to ensure.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)`.

    Output shape:
        `(batch, height / strides[0], width / strides[1], filters)`, or with the channels first.

    Lipschitz bound:
        $k (1 + \|A\|^n / n!)$ times that of the activation: the exponential itself is
        orthogonal, and the series leaves off at most $\|A\|^n / n!$ (see `lipot.math.skew`).
        $\|A\|$ is bounded in float64 for images of every size; it is 1 at most, and with 12 terms
        the bound exceeds `k_coef_lip` by 2e-9.

    Raises:
        ValueError: An argument out of its range, named in the message.

    Reference:
        Singla and Feizi, "Skew orthogonal convolutions" (ICML 2021).

    Example:

    >>> import numpy as np
    >>> layer = SkewOrthogonalConv2D(3, 3, padding="circular", use_bias=False)
    >>> x = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype("float32")
    >>> round(float(np.linalg.norm(layer(x)) / np.linalg.norm(x)), 4)
    1.0
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="same",
        data_format=None,
        terms=12,
        training_terms=6,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_normal",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
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
        self.filters = check_units("filters", filters)
        self.set_convolution(kernel_size, padding, data_format)
        self.strides = check_pair("strides", strides)
        self.terms = check_units("terms", terms)
        self.training_terms = check_units("training_terms", training_terms)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        channels = self.read_image(input_shape)
        self._width = max(channels * self.strides[0] * self.strides[1], self.filters)
        shape = (*self.kernel_size, self._width, self._width)
        self.add_kernel_and_bias(shape, self.filters)
        self._singular_vector = self.add_weight(
            name="singular_vector",
            shape=(self._width,),
            initializer=keras.initializers.RandomNormal(seed=0),
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )
        self.add_cached_kernel(shape)
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={self.channel_axis: channels})
        self.built = True

    def check_circle(self, size):
        if any(n is not None and n % s for n, s in zip(size, self.strides)):
            raise ValueError(
                "Invalid value received for argument `strides`. Expected divisors of the image "
                f"size {tuple(size)}. Received: strides={self.strides}"
            )
        super().check_circle([n if n is None else n // s for n, s in zip(size, self.strides)])

    def effective_kernel(self, training):
        # `k_coef_lip` is a factor of the exponential, not of the kernel.
        return self.cached_kernel(training)

    def call(self, inputs, training=False):
        kernel = ops.cast(self.effective_kernel(training), self.compute_dtype)
        terms = self.training_terms if training else self.terms
        return self._finish(self._exponential(inputs, lambda x: self.convolve(x, kernel), terms))

    def linear_norm(self, kernel):
        return self.k_coef_lip * skew.exponential_bound(kernel, self.terms)

    def add_bias(self, outputs):
        return ops.add(outputs, self.on_channels(self.bias))

    def condense(self):
        """Overwrites the free kernel with half of the one applied at inference."""
        # W - W* = A for W = A / 2.
        self.kernel.assign(ops.cast(self.inference_kernel, self.variable_dtype) / 2.0)

    def compute_output_shape(self, input_shape):
        shape = list(input_shape)
        for axis, s in zip(self.spatial_axes, self.strides):
            shape[axis] = None if shape[axis] is None else shape[axis] // s
        shape[self.channel_axis] = self.filters
        return tuple(shape)

    def vanilla_export(self):
        """Returns a functional model of stock Keras layers with the same outputs.

        One `keras.layers.Conv2D`, applied `terms - 1` times.
        """
        convolution = self.stock_convolution(self.inference_kernel)
        inputs = keras.Input(self._input_shape[1:], dtype=self.compute_dtype)
        outputs = self._finish(self._exponential(inputs, convolution, self.terms))
        return keras.Model(inputs, outputs, name=self.name)

    def _exponential(self, inputs, convolution, terms):
        """Rearranges the input, applies the exponential and keeps `filters` channels."""
        if self.strides != (1, 1):
            inputs = space_to_channels(inputs, self.strides, self.data_format)
        axis = self.channel_axis
        missing = self._width - inputs.shape[axis]
        if missing:
            inputs = ops.pad(inputs, [(0, missing if a == axis else 0) for a in range(4)])
        outputs = skew.truncated_exponential(convolution, inputs, terms)
        if self.filters < self._width:
            kept = [slice(None)] * axis + [slice(0, self.filters)]
            outputs = outputs[tuple(kept)]
        return scale(outputs, self.k_coef_lip)

    def _finish(self, outputs):
        if self.bias is not None:
            outputs = self.add_bias(outputs)
        return self.activation(outputs)

    def _training_kernel(self):
        kernel = skew.skew_kernel(self.kernel.value)
        norm, vector = orthogonal.spectral_norm(
            orthogonal.as_matrix(kernel), self._singular_vector.value, _ITERATIONS
        )
        self._singular_vector.assign(vector)
        return self._shrunk(kernel, norm)

    def _exact_kernel(self):
        kernel = skew.skew_kernel(ops.stop_gradient(self.kernel.value))
        return self._shrunk(kernel, orthogonal.norm_bound(orthogonal.as_matrix(kernel)))

    def _shrunk(self, kernel, norm):
        """Divides a kernel by the bound of its convolution's norm where that exceeds one."""
        taps = self.kernel_size[0] * self.kernel_size[1]
        return kernel / ops.maximum(norm * taps**0.5, 1.0)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            **self.convolution_config(),
            "strides": self.strides,
            "terms": self.terms,
            "training_terms": self.training_terms,
        }
