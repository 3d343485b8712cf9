"""The orthonormal matrices behind OrthogonalConv2D and the layers like it."""

import keras
import numpy as np
from keras import ops

from lipot.layers import orthogonalizers
from lipot.layers.cached_kernel_layer import CachedKernelLayer
from lipot.layers.convolution_layer import ConvolutionGeometry
from lipot.layers.kernel_layer import check_units
from lipot.math import block_orthogonal, convolution, orthogonal
from lipot.math.padding import pad_spatial
from lipot.math.precision import widest_float

PADDINGS = ("same", "valid", "constant", "circular")

# Rounding of a kernel to float32 costs this much in norm, times the root of the channels.
_ROUNDING = 5e-7


class OrthogonalLayer(ConvolutionGeometry, CachedKernelLayer):
    """A convolution whose kernel is a product of orthonormal matrices, its trainable weights.

    With the retraction the weights stay orthonormal, so that a training step pays for a few
    products of matrices of the size of the channels and nothing else.

    Args:
        orthogonalizer: `"retraction"`, `"bjorck"` or `"cholesky"`.
        eps_bjorck: Residual `|W^T W - I|` at which a matrix counts as orthonormal at inference.
        beta_bjorck: Step of the Björck iteration, in `(0, 0.5]`.
        maxiter_bjorck: Björck iterations in a training step of `"bjorck"`.
        **kwargs: Arguments of `KernelLayer`.
    """

    def __init__(
        self,
        *,
        orthogonalizer="retraction",
        eps_bjorck=1e-3,
        beta_bjorck=0.5,
        maxiter_bjorck=15,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if eps_bjorck is None:
            raise ValueError(
                "Invalid value received for argument `eps_bjorck`. Expected a positive float: a "
                "convolution of matrices that are not orthonormal is not orthogonal. "
                "Received: eps_bjorck=None"
            )
        self.orthogonalizer = orthogonalizer
        self.eps_bjorck = eps_bjorck
        self.beta_bjorck = beta_bjorck
        self.maxiter_bjorck = maxiter_bjorck
        self._orthogonalizer = orthogonalizers.get(
            orthogonalizer,
            eps_bjorck=eps_bjorck,
            beta_bjorck=beta_bjorck,
            maxiter_bjorck=maxiter_bjorck,
            maxiter_spectral=1,
        )

    def set_geometry(self, filters, kernel_size, strides, padding, data_format, dilation_rate):
        """Checks and stores the arguments that fix the geometry."""
        super().set_geometry(filters, kernel_size, strides, padding, data_format, dilation_rate)
        if self.padding not in PADDINGS:
            raise ValueError(
                f"Invalid value received for argument `padding`. Expected one of {PADDINGS}: a "
                "padding that repeats values lengthens images, so no kernel after it is "
                f"orthogonal. Received: padding={padding!r}"
            )

    def set_groups(self, groups, filters):
        """Checks and stores the number of groups."""
        self.groups = check_units("groups", groups)
        if filters % self.groups:
            raise ValueError(
                "Invalid value received for argument `groups`. Expected a divisor of `filters` "
                f"= {filters}. Received: groups={groups}"
            )

    def check_dilation(self):
        if self.dilation_rate != (1, 1) and self.strides != (1, 1):
            raise ValueError(
                "Invalid value received for argument `dilation_rate`. Expected 1 with strides "
                f"{self.strides}: Keras has no dilated convolution with strides. "
                f"Received: dilation_rate={self.dilation_rate}"
            )

    def check_channels(self, channels):
        """Raises for a number of input channels that the groups do not divide."""
        if channels % self.groups:
            raise ValueError(
                "Invalid value received for argument `groups`. Expected a divisor of the "
                f"{channels} input channels. Received: groups={self.groups}"
            )

    def check_image(self, size):
        """Raises for an image around which circular patches do not close."""
        if self.padding != "circular":
            return
        if any(s > 1 and (n is None or n % s) for n, s in zip(size, self.strides)):
            raise ValueError(
                "Invalid value received for argument `strides`. Expected divisors of the image "
                f"size {size} with padding='circular': around any other circle the last "
                f"patch runs into the first. Received: strides={self.strides}"
            )
        if any(n is not None and max(a) > n for n, a in zip(size, self.padding_amounts())):
            raise ValueError(
                "Invalid value received for argument `kernel_size`. Expected a kernel that goes "
                f"around an image of size {size} no more than once. "
                f"Received: kernel_size={self.kernel_size}, dilation_rate={self.dilation_rate}"
            )

    def padding_amounts(self):
        if self.padding != "circular":
            return super().padding_amounts()
        totals = [max(extent - s, 0) for extent, s in zip(self.extents(), self.strides)]
        return tuple((total // 2, total - total // 2) for total in totals)

    def linear_map(self, inputs, kernel):
        depthwise = 1 < self.groups == inputs.shape[self.channel_axis]
        if not depthwise or self.strides[0] != self.strides[1]:
            return super().linear_map(inputs, kernel)
        inputs = pad_spatial(inputs, self.padding_amounts(), self.padding, self.spatial_axes)
        return ops.depthwise_conv(
            inputs,
            ops.reshape(kernel, (*self.kernel_size, self.groups, -1)),
            strides=self.strides,
            padding="same" if self.padding == "same" else "valid",
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )

    def add_orthogonal_weights(self, channels, filters, groups):
        """Creates the matrices of a kernel from `channels` to `filters`, bias and state."""
        shape = block_orthogonal.block_orthogonal_shape(
            self.kernel_size, self.strides, channels // groups, filters // groups
        )
        self._shape = shape
        self._rank = min(channels * shape.patch[0] * shape.patch[1], filters)
        pairs = sum(shape.pairs)
        self.bases = self.embedding = self.reduction = None
        if pairs * shape.rank:
            self.bases = self._add_stack("bases", (pairs, groups, shape.width, shape.rank))
        if shape.embedding:
            self.embedding = self._add_stack("embedding", (groups, *shape.embedding))
        if shape.reduction:
            self.reduction = self._add_stack("reduction", (groups, *shape.reduction))
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.filters,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.add_cached_kernel((*self.kernel_size, channels // groups, filters))

    def condense(self):
        """Overwrites the trainable matrices with the orthonormal ones used at inference."""
        self.check_built()
        for weight in self._stacks():
            weight.assign(ops.cast(self._polished(weight.value), weight.dtype))
        self._stale.assign(ops.ones_like(self._stale.value))

    def call(self, inputs, training=False):
        # A layer may meet another image than the one it was built for.
        self.check_image(tuple(inputs.shape[axis] for axis in self.spatial_axes))
        return super().call(inputs, training)

    def linear_norm(self, kernel):
        return self.norm_on(kernel, self._image_size)

    def norm_on(self, kernel, size):
        """Proven bound (float64) of the norm of a NumPy kernel's linear map.

        Args:
            kernel: Array like the layer's kernel.
            size: `(height, width)` of the input; `None` for all sizes at once.
        """
        bound = block_orthogonal.autocorrelation_bound(kernel, self.strides, self.groups)
        if size is None or self.compute_dtype not in ("float16", "bfloat16"):
            return bound
        # Rounding to 16 bits leaves the bound for all sizes loose.
        geometry = (self.strides, self.dilation_rate, self.groups)
        return min(bound, convolution.circular_norm(kernel, self.circle(size), *geometry))

    def image_size(self, input_shape):
        """Height and width of an input, or `None` where one of them is unknown."""
        size = tuple(input_shape[axis] for axis in self.spatial_axes)
        return None if None in size else size

    def circle(self, size):
        """Grid that holds an image and all that zero padding lets the kernel read."""
        if self.padding == "circular":
            return size
        return tuple(
            s * (-(-n // s) + -(-extent // s))
            for n, extent, s in zip(size, self.extents(), self.strides)
        )

    def rounding_norm_factor(self):
        return self.duplication() ** 0.5

    def _add_stack(self, name, shape):
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=OrthonormalStack(self._orthogonalizer, self.kernel_initializer),
            regularizer=self.kernel_regularizer,
            constraint=StackProjection(self._orthogonalizer, self.kernel_constraint),
            autocast=False,
        )

    def _stacks(self):
        return [w for w in (self.bases, self.embedding, self.reduction) if w is not None]

    def _kernel_of(self, orthonormal):
        matrices = (
            None if weight is None else orthonormal(weight.value)
            for weight in (self.bases, self.embedding, self.reduction)
        )
        return block_orthogonal.block_orthogonal_kernel(self._shape, *matrices)

    def _training_kernel(self):
        return self._kernel_of(self._orthogonalizer.train_stack)

    def _exact_kernel(self):
        kernel = self._kernel_of(self._polished)
        kernel = kernel / (1.0 + _ROUNDING * self._shape.width**0.5)
        kernel = kernel / self.rounding_allowance(self._rank, np.prod(kernel.shape))
        return ops.cast(kernel, self.variable_dtype)

    def _polished(self, stack):
        # In float64, where there is one: accelerators may multiply float32 with fewer bits.
        stack = ops.cast(ops.stop_gradient(stack), widest_float())
        # `exact` stops at what float32 can tell; one step more squares what is left.
        return orthogonal.retract(self._orthogonalizer.exact(stack))

    def get_config(self):
        return {
            **super().get_config(),
            "orthogonalizer": self.orthogonalizer,
            "eps_bjorck": self.eps_bjorck,
            "beta_bjorck": self.beta_bjorck,
            "maxiter_bjorck": self.maxiter_bjorck,
        }


class OrthonormalStack(keras.initializers.Initializer):
    """Draws a stack of matrices `(..., m, n)` and brings each to the nearest orthonormal one."""

    def __init__(self, orthogonalizer, initializer):
        self.orthogonalizer = orthogonalizer
        self.initializer = initializer

    def __call__(self, shape, dtype=None):
        # One draw for all: an initializer repeats itself when it is called again.
        drawn = self.initializer((int(np.prod(shape[:-1])), shape[-1]), dtype=dtype)
        return self.orthogonalizer.exact(ops.reshape(drawn, shape))


class StackProjection(keras.constraints.Constraint):
    """Applies the user's constraint, then the orthogonalizer's projection, after each step.

    It belongs to the weight, not to the layer's configuration: the layer rebuilds it.
    """

    def __init__(self, orthogonalizer, constraint):
        self.orthogonalizer = orthogonalizer
        self.constraint = constraint

    def __call__(self, stack):
        if self.constraint is not None:
            stack = self.constraint(stack)
        return self.orthogonalizer.project(stack)
