"""The kernel machinery behind SpectralDense, SpectralConv2D and its transpose."""

import keras
import numpy as np
from keras import ops

from lipot.layers import orthogonalizers
from lipot.layers.cached_kernel_layer import CachedKernelLayer
from lipot.math.orthogonal import as_matrix


class SpectralLayer(CachedKernelLayer):
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
        self._singular_vector = self.add_weight(
            name="singular_vector",
            shape=(kernel_shape[-1],),
            initializer="ones",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )
        self.add_cached_kernel(kernel_shape)

    def normalize_in_training(self, kernel):
        """Divides an orthonormal kernel by an estimate of its linear map's norm."""
        return kernel

    def normalize_exactly(self, kernel):
        """Divides an orthonormal kernel by a guaranteed bound of its linear map's norm."""
        return kernel

    def _training_kernel(self):
        matrix, vector = self._orthogonalizer.train(
            as_matrix(self.kernel.value), self._singular_vector.value
        )
        self._singular_vector.assign(vector)
        return self.normalize_in_training(ops.reshape(matrix, self.kernel.shape))

    def _exact_kernel(self):
        matrix = self._orthogonalizer.exact(as_matrix(ops.stop_gradient(self.kernel.value)))
        kernel = self.normalize_exactly(ops.reshape(matrix, self.kernel.shape))
        rank = min(np.prod(self.kernel.shape[:-1]), self.kernel.shape[-1])
        return kernel / self.rounding_allowance(rank, np.prod(self.kernel.shape))

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
