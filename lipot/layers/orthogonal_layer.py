"""The orthonormal matrices behind OrthogonalConv2D and its transpose."""

import keras
import numpy as np
from keras import ops

from lipot.layers import orthogonalizers
from lipot.layers.cached_kernel_layer import CachedKernelLayer
from lipot.layers.convolution_layer import ConvolutionGeometry
from lipot.math import block_orthogonal, convolution


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
            weight.assign(self._orthogonalizer.exact(weight.value))
        self._stale.assign(ops.ones_like(self._stale))

    def linear_norm(self, kernel):
        # Proven for all image sizes at once; rounding to 16 bits leaves it loose.
        bound = block_orthogonal.autocorrelation_bound(kernel, self.strides, self.groups)
        if self._image_size is None or self.compute_dtype not in ("float16", "bfloat16"):
            return bound
        # A circle of this size holds the image and all that zero padding lets the kernel read.
        grid = [
            s * (-(-n // s) + -(-extent // s))
            for n, extent, s in zip(self._image_size, self.extents(), self.strides)
        ]
        if self.padding == "circular":
            grid = self._image_size
        geometry = (self.strides, self.dilation_rate, self.groups)
        return min(bound, convolution.circular_norm(kernel, grid, *geometry))

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
        kernel = self._kernel_of(lambda w: self._orthogonalizer.exact(ops.stop_gradient(w)))
        return kernel / self.rounding_allowance(self._rank, np.prod(kernel.shape))

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
