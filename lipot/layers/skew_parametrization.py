"""The kernel of a skew orthogonal convolution."""

import dataclasses

import keras
from keras import ops

from lipot.layers.parametrizations import Parametrization, TrainedKernel, Variable
from lipot.math import orthogonal, skew

# Power iterations of a training step; the vector is kept from step to step.
_ITERATIONS = 2


@dataclasses.dataclass(frozen=True)
class Skew(Parametrization):
    """The skew-symmetric part of a free convolution kernel, of norm at most one."""

    def states(self, site):
        width = site.map.kernel_shape(site.input_shape)[-1]
        return [Variable("singular_vector", (width,), keras.initializers.RandomNormal(seed=0))]

    def train(self, weights, states, site):
        kernel = skew.skew_kernel(weights["kernel"])
        norm, vector = orthogonal.spectral_norm(
            orthogonal.as_matrix(kernel), states["singular_vector"], _ITERATIONS
        )
        return TrainedKernel(_shrunk(kernel, norm), {"singular_vector": vector})

    def exact(self, weights, site):
        kernel = skew.skew_kernel(weights["kernel"])
        return _shrunk(kernel, orthogonal.norm_bound(orthogonal.as_matrix(kernel)))

    def condensed(self, weights, kernel, site):
        # W - W* = A for W = A / 2.
        return {"kernel": kernel / 2.0}


def _shrunk(kernel, norm):
    """Divides a kernel by the bound of its convolution's norm where that exceeds one."""
    taps = kernel.shape[0] * kernel.shape[1]
    return kernel / ops.maximum(norm * taps**0.5, 1.0)
