"""The kernel machinery behind SpectralDense, SpectralConv2D and its transpose."""

import keras
import numpy as np
from keras import ops

from lipot.layers import orthogonalizers
from lipot.layers.kernel_layer import KernelLayer
from lipot.math.orthogonal import as_matrix


class SpectralLayer(KernelLayer):
    """A layer whose kernel, read as a matrix, is orthonormal, and whose linear map is 1-Lipschitz.

    While training, the kernel follows the orthogonalizer's cheap path. The kernel of inference is
    computed to full precision at the first inference call after a training step, then kept.

    Args:
        orthogonalizer: `"retraction"`, `"bjorck"` or `"cholesky"`.
        eps_spectral: Kept for compatibility of configurations; the power iterations of a
            training step are counted by `maxiter_spectral`.
        eps_bjorck: Residual `|W^T W - I|` at which the inference kernel is orthonormal; `None`
            switches orthonormalization off and leaves spectral normalization.
        beta_bjorck: Step of the Björck iteration, in `(0, 0.5]`.
        maxiter_spectral: Power iterations in a training step.
        maxiter_bjorck: Björck iterations in a training step of `"bjorck"`.
        **kwargs: Arguments of `KernelLayer`.
    """

    def __init__(
        self,
        *,
        orthogonalizer="retraction",
        eps_spectral=1e-3,
        eps_bjorck=1e-3,
        beta_bjorck=0.5,
        maxiter_spectral=3,
        maxiter_bjorck=15,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.orthogonalizer = orthogonalizer
        self.eps_spectral = eps_spectral
        self.eps_bjorck = eps_bjorck
        self.beta_bjorck = beta_bjorck
        self.maxiter_spectral = maxiter_spectral
        self.maxiter_bjorck = maxiter_bjorck
        self._orthogonalizer = orthogonalizers.get(
            orthogonalizer,
            eps_bjorck=eps_bjorck,
            beta_bjorck=beta_bjorck,
            maxiter_bjorck=maxiter_bjorck,
            maxiter_spectral=maxiter_spectral,
        )

    def add_spectral_weights(self, kernel_shape, units):
        """Creates kernel, bias and the state behind the inference kernel."""
        self.add_kernel_and_bias(
            kernel_shape, units, KernelProjection(self._orthogonalizer, self.kernel_constraint)
        )
        self.kernel.assign(self.kernel.constraint(self.kernel.value))
        state = {"trainable": False, "autocast": False, "aggregation": "only_first_replica"}
        self._singular_vector = self.add_weight(
            name="singular_vector", shape=(kernel_shape[-1],), initializer="ones", **state
        )
        self._cached_kernel = self.add_weight(
            name="inference_kernel", shape=kernel_shape, initializer="zeros", **state
        )
        self._stale = self.add_weight(name="stale", shape=(), initializer="ones", **state)

    def effective_kernel(self, training):
        if training:
            return self.k_coef_lip * self._training_kernel()
        return self.k_coef_lip * self._inference_kernel()

    def normalize_in_training(self, kernel):
        """Divides an orthonormal kernel by an estimate of its linear map's norm."""
        return kernel

    def normalize_exactly(self, kernel):
        """Divides an orthonormal kernel by a guaranteed bound of its linear map's norm."""
        return kernel

    def rounding_norm_factor(self):
        """Bound of |linear map| / |kernel|_F, for kernels that hold rounding errors."""
        return 1.0

    def _training_kernel(self):
        matrix, vector = self._orthogonalizer.train(
            as_matrix(self.kernel.value), self._singular_vector.value
        )
        self._singular_vector.assign(vector)
        self._stale.assign(ops.ones_like(self._stale))
        return self.normalize_in_training(ops.reshape(matrix, self.kernel.shape))

    def _inference_kernel(self):
        kernel = ops.cond(
            ops.equal(self._stale, 1.0), self._exact_kernel, lambda: self._cached_kernel.value
        )
        self._cached_kernel.assign(kernel)
        self._stale.assign(ops.zeros_like(self._stale))
        return kernel

    def _exact_kernel(self):
        matrix = self._orthogonalizer.exact(as_matrix(ops.stop_gradient(self.kernel.value)))
        kernel = self.normalize_exactly(ops.reshape(matrix, self.kernel.shape))
        return kernel / self._rounding_allowance()

    def _rounding_allowance(self):
        # |round(W) - W|_F <= u |W|_F, so W / (1 + u |W|_F * factor) stays within norm one after
        # rounding to a 16-bit compute dtype. In float32 the products above leave some 1e-7.
        if self.compute_dtype not in ("float16", "bfloat16"):
            return 1.0 + 1e-6
        unit_roundoff = {"float16": 2.0**-11, "bfloat16": 2.0**-8}[self.compute_dtype]
        subnormal = {"float16": 2.0**-25, "bfloat16": 2.0**-134}[self.compute_dtype]
        rank = min(np.prod(self.kernel.shape[:-1]), self.kernel.shape[-1])
        frobenius_error = unit_roundoff * rank**0.5 + subnormal * np.prod(self.kernel.shape) ** 0.5
        return float(1.0 + frobenius_error * self.rounding_norm_factor() + 1e-6)

    def get_config(self):
        return {
            **super().get_config(),
            "orthogonalizer": self.orthogonalizer,
            "eps_spectral": self.eps_spectral,
            "eps_bjorck": self.eps_bjorck,
            "beta_bjorck": self.beta_bjorck,
            "maxiter_spectral": self.maxiter_spectral,
            "maxiter_bjorck": self.maxiter_bjorck,
        }


class KernelProjection(keras.constraints.Constraint):
    """Applies the user's constraint, then the orthogonalizer's projection, after each step.

    It belongs to the weight, not to the layer's configuration: the layer rebuilds it.
    """

    def __init__(self, orthogonalizer, constraint):
        self.orthogonalizer = orthogonalizer
        self.constraint = constraint

    def __call__(self, kernel):
        if self.constraint is not None:
            kernel = self.constraint(kernel)
        return ops.reshape(self.orthogonalizer.project(as_matrix(kernel)), kernel.shape)
