"""The kernel of a residual block that is 1-Lipschitz by a semidefinite condition."""

import dataclasses
from typing import Any

from lipot.layers.parametrizations import (
    Parametrization,
    TrainedKernel,
    Variable,
    kernel_allowance,
)
from lipot.math import sdp


@dataclasses.dataclass(frozen=True)
class SDP(Parametrization):
    r"""A free kernel whose columns are scaled so that $\|K\|^2 \le 2$, with trained scales.

    Args:
        scale_initializer: Initializer of the logarithms of the scales.
    """

    scale_initializer: Any = "zeros"

    def weights(self, site, initializer):
        kernel = super().weights(site, initializer)
        return [*kernel, Variable("log_scale", kernel[0].shape[-1:], self.scale_initializer)]

    def train(self, weights, states, site):
        return TrainedKernel(sdp.residual_kernel(weights["kernel"], weights["log_scale"]), states)

    def exact(self, weights, site):
        kernel = sdp.residual_kernel(weights["kernel"], weights["log_scale"])
        # K / sqrt(2) has norm one at most, and so has each of its columns.
        return kernel / kernel_allowance(kernel.shape[-1], kernel.shape, site)
