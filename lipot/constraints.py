"""Constraints that keep the kernels of stock Keras layers bounded after each training step."""

import math

import keras
from keras import ops

from lipot import checks
from lipot.math import orthogonal, projection
from lipot.math.scaling import at_least_float32


@keras.saving.register_keras_serializable(package="lipot")
class WeightClipConstraint(keras.constraints.Constraint):
    """Clips every weight to `[-c, c]`, as the first Wasserstein GAN did.

    Args:
        c: Positive float, the largest absolute value allowed.

    Lipschitz bound:
        None that is useful: a `(m, n)` kernel of clipped weights can reach `c * sqrt(m * n)`.

    Reference:
        Arjovsky et al., "Wasserstein GAN", algorithm 1.

    Example:

    >>> from keras import ops
    >>> [float(w) for w in WeightClipConstraint(0.5)(ops.convert_to_tensor([-2.0, 0.25]))]
    [-0.5, 0.25]
    """

    def __init__(self, c=2):
        self.c = checks.positive_float("c", c)

    def __call__(self, w):
        return ops.clip(w, -self.c, self.c)

    def get_config(self):
        return {"c": self.c}


@keras.saving.register_keras_serializable(package="lipot")
class AutoWeightClipConstraint(keras.constraints.Constraint):
    r"""Clips every weight to $[-c, c]$ with $c = 1 / (\text{scale} \sqrt{\text{size}(W)})$.

    Args:
        scale: Positive float. Larger values clip more.

    Lipschitz bound:
        The Frobenius norm of the kernel is at most $c \sqrt{\text{size}(W)} = 1 /
        \text{scale}$, so a dense layer is $1 / \text{scale}$-Lipschitz, and a convolution
        $\sqrt{k_h k_w} / \text{scale}$.

    Reference:
        Serrurier et al., "Achieving robustness in classification using optimal transport with
        hinge regularization", section 4.1.

    Example:

    >>> from keras import ops
    >>> [float(w) for w in AutoWeightClipConstraint()(ops.convert_to_tensor([3.0, 0.1, 0.2, -1.0]))]
    [0.5, 0.1..., 0.2..., -0.5]
    """

    def __init__(self, scale=1):
        self.scale = checks.positive_float("scale", scale)

    def __call__(self, w):
        c = 1.0 / (self.scale * math.sqrt(math.prod(w.shape)))
        return ops.clip(w, -c, c)

    def get_config(self):
        return {"scale": self.scale}


@keras.saving.register_keras_serializable(package="lipot")
class FrobeniusConstraint(keras.constraints.Constraint):
    r"""Divides a kernel by its Frobenius norm: $W \leftarrow W / (\|W\|_F + \text{eps})$.

    Args:
        eps: Positive float; keeps a zero kernel at zero.

    Lipschitz bound:
        1 for a dense layer, up to rounding; $\sqrt{k_h k_w}$ for a convolution, whose kernel
        meets each input value up to $k_h k_w$ times.

    Reference:
        Salimans and Kingma, "Weight normalization" (NIPS 2016).

    Example:

    >>> from keras import ops
    >>> [round(float(w), 4) for w in FrobeniusConstraint()(ops.convert_to_tensor([3.0, 4.0]))]
    [0.6, 0.8]
    """

    def __init__(self, eps=1e-7):
        self.eps = checks.positive_float("eps", eps)

    def __call__(self, w):
        # Squares overflow in half precision, and small ones vanish.
        wide = at_least_float32(w)
        return ops.cast(wide / (ops.sqrt(ops.sum(ops.square(wide))) + self.eps), w.dtype)

    def get_config(self):
        return {"eps": self.eps}


@keras.saving.register_keras_serializable(package="lipot")
class SpectralConstraint(keras.constraints.Constraint):
    r"""Keeps a stock dense or convolution layer `k_coef_lip`-Lipschitz, with an orthonormal kernel.

    After each step the kernel, read as the matrix `(fan_in, units)`, becomes

    $$ W \leftarrow k \, \Bigl(\prod_a k_a\Bigr)^{-1/2} U V^\top, \qquad W = U \Sigma V^\top, $$

    with $k_a$ the sizes of a convolution kernel (none for a dense layer). A convolution reads
    each input value up to $\prod_a k_a$ times, so this factor makes it $k$-Lipschitz for every
    stride, image size and zero padding. It is what a constraint can know: `SpectralConv2D`
    knows its image and divides by less.

    Args:
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        eps_spectral: Positive float, relative accuracy of the spectral norm; matters with
            `eps_bjorck=None`.
        eps_bjorck: Positive float, when to stop the Björck iterations. `None` divides by the
            spectral norm and leaves the other singular values where they fall.
        beta_bjorck: Float in `(0, 0.5]`, step of the Björck iterations.

    Lipschitz bound:
        `k_coef_lip` for `Dense`, `Conv1D`, `Conv2D`, `Conv3D`, their transposes and
        `DepthwiseConv2D`, up to rounding.

    Reference:
        Serrurier et al., "Achieving robustness in classification using optimal transport with
        hinge regularization", section 4.1.

    Example:

    >>> import numpy as np
    >>> from keras import ops
    >>> w = SpectralConstraint(k_coef_lip=2.0)(ops.convert_to_tensor([[3.0, 0.0], [1.0, 1.0]]))
    >>> np.linalg.svd(ops.convert_to_numpy(w), compute_uv=False).round(4).tolist()
    [2.0, 2.0]
    """

    def __init__(self, k_coef_lip=1.0, eps_spectral=1e-3, eps_bjorck=1e-3, beta_bjorck=0.5):
        settings = projection.check_settings(eps_spectral, eps_bjorck, beta_bjorck)
        self.k_coef_lip = checks.positive_float("k_coef_lip", k_coef_lip)
        self.eps_spectral, self.eps_bjorck, self.beta_bjorck = settings

    def __call__(self, w):
        matrix = projection.orthonormalize(
            orthogonal.as_matrix(at_least_float32(w)),
            eps_spectral=self.eps_spectral,
            eps_bjorck=self.eps_bjorck,
            beta_bjorck=self.beta_bjorck,
        )
        # |sum_j K_j x_j| <= |W| |patch|, and a value enters at most prod(k_a) patches.
        factor = self.k_coef_lip / math.sqrt(math.prod(w.shape[:-2]))
        return ops.cast(ops.reshape(factor * matrix, w.shape), w.dtype)

    def get_config(self):
        return {
            "k_coef_lip": self.k_coef_lip,
            "eps_spectral": self.eps_spectral,
            "eps_bjorck": self.eps_bjorck,
            "beta_bjorck": self.beta_bjorck,
        }
