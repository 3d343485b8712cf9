"""Initial values for 1-Lipschitz kernels."""

import keras
from keras import ops

from lipot import checks
from lipot.math import orthogonal, projection
from lipot.math.scaling import wide_dtype


@keras.saving.register_keras_serializable(package="lipot")
class SpectralInitializer(keras.initializers.Initializer):
    r"""Draws a kernel whose singular values all equal `k_coef_lip`.

    The kernel $W$ of the base initializer, read as the matrix `(fan_in, units)`, becomes
    $k\,U V^\top$ where $W = U \Sigma V^\top$. A layer built for 1-Lipschitz kernels starts
    there; a stock convolution with such a kernel can still have a norm up to
    $k \sqrt{k_h k_w}$, see `lipot.constraints.SpectralConstraint`.

    Args:
        eps_spectral: Positive float, relative accuracy of the spectral norm; matters with
            `eps_bjorck=None`.
        eps_bjorck: Positive float, when to stop the Björck iterations. `None` divides by the
            spectral norm and leaves the other singular values where they fall.
        beta_bjorck: Float in `(0, 0.5]`, step of the Björck iterations.
        k_coef_lip: Positive float, the singular values to reach.
        base_initializer: Name, config or `keras.initializers.Initializer` to start from. Give
            it a seed for reproducible kernels.

    Reference:
        Serrurier et al., "Achieving robustness in classification using optimal transport with
        hinge regularization", section 4.1.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> uniform = keras.initializers.GlorotUniform(seed=0)
    >>> kernel = SpectralInitializer(base_initializer=uniform)((6, 3))
    >>> np.linalg.svd(keras.ops.convert_to_numpy(kernel), compute_uv=False).round(3).tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(
        self,
        eps_spectral=1e-3,
        eps_bjorck=1e-3,
        beta_bjorck=0.5,
        k_coef_lip=1.0,
        base_initializer="orthogonal",
    ):
        settings = projection.check_settings(eps_spectral, eps_bjorck, beta_bjorck)
        self.eps_spectral, self.eps_bjorck, self.beta_bjorck = settings
        self.k_coef_lip = checks.positive_float("k_coef_lip", k_coef_lip)
        self.base_initializer = keras.initializers.get(base_initializer)

    def __call__(self, shape, dtype=None):
        dtype = keras.backend.standardize_dtype(dtype)
        # Half precision has no Cholesky nor QR, and would lose the orthonormality.
        kernel = self.base_initializer(shape, dtype=wide_dtype(dtype))
        matrix = projection.orthonormalize(
            orthogonal.as_matrix(kernel),
            eps_spectral=self.eps_spectral,
            eps_bjorck=self.eps_bjorck,
            beta_bjorck=self.beta_bjorck,
        )
        return ops.cast(ops.reshape(self.k_coef_lip * matrix, shape), dtype)

    def get_config(self):
        return {
            "eps_spectral": self.eps_spectral,
            "eps_bjorck": self.eps_bjorck,
            "beta_bjorck": self.beta_bjorck,
            "k_coef_lip": self.k_coef_lip,
            "base_initializer": keras.initializers.serialize(self.base_initializer),
        }
