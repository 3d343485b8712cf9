"""How the kernel that a layer applies comes from the weights that it trains.

A parametrization is frozen and holds no weights. It answers:

- `weights` and `states`: which variables a layer needs;
- `project`: what is done to each weight after an optimizer step;
- `orthonormal`: the weight as matrices that `project` keeps orthonormal, if it does;
- `train`: which kernel a training step applies, differentiable in the weights;
- `apply_in_training`: what that kernel makes of a batch, for less where it can;
- `exact`: which kernel inference applies, a function of the weights alone;
- `condensed`: weights from which `exact` gives the same kernel again.

Weights and states are dictionaries of tensors by name.
"""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import keras
from keras import ops

from lipot import backend, checks
from lipot.layers import orthogonalizers
from lipot.layers.trained_weights import OneDraw, Started
from lipot.math import block_orthogonal, convolution, orthogonal
from lipot.math.frozen import set_fields
from lipot.math.kernel_norms import divide_by_norm, power_step, rounding_allowance
from lipot.math.precision import widest_float
from lipot.math.scaling import at_least_float32

NORMALIZATIONS = ("operator", "average")
# Rounding of a kernel to float32 costs this much in norm, times the root of the channels.
_ROUNDING = 5e-7
# Each pair of projectors costs at most this much where it is multiplied in float32 too.
_PAIR_ROUNDING = 6e-7


class Site(NamedTuple):
    """Where a kernel is applied.

    Attributes:
        map: The `LinearMap` it stands for.
        input_shape: Shape of the inputs that the layer was built for.
        factor: Factor of the kernel.
        dtype: Float type the layer computes in.
    """

    map: Any
    input_shape: tuple
    factor: float
    dtype: str


class Variable(NamedTuple):
    """A variable that a parametrization asks for: its name, shape and initializer."""

    name: str
    shape: tuple
    initializer: Any


@dataclasses.dataclass(frozen=True)
class ExactKernel:
    """The kernel of inference as a function of the weights, the same for all layers that are alike.

    Attributes:
        parametrization: A `Parametrization`.
        site: The `Site` of the kernel.
        names: Names of the weights, in the order in which they are given.
    """

    parametrization: Any
    site: Site
    names: tuple

    def __call__(self, *weights):
        # Half precision has not the digits for it.
        wide = dict(zip(self.names, map(at_least_float32, weights)))
        return ops.cast(self.parametrization.exact(wide, self.site), weights[0].dtype)


class TrainedKernel(NamedTuple):
    """The kernel of a training step, and the states to start the next step from."""

    kernel: Any
    states: dict


@dataclasses.dataclass(frozen=True)
class Parametrization:
    """One free kernel, applied as it is."""

    @property
    def keeps_norm(self):
        """Whether the map of the kernel has at most norm `site.factor`, whatever the weights."""
        return type(self) is not Parametrization

    def weights(self, site, initializer):
        """The trainable variables, `Variable`s."""
        return [Variable("kernel", site.map.kernel_shape(site.input_shape), initializer)]

    def states(self, site):
        """The variables that training keeps from step to step, `Variable`s."""
        return []

    def project(self, weight):
        """What becomes of a weight after an optimizer step."""
        return weight

    def orthonormal(self, weight):
        """The weight as a stack of matrices that stay orthonormal, or `None`."""
        return None

    def train(self, weights, states, site):
        """The kernel of a training step, a `TrainedKernel`."""
        return TrainedKernel(site.factor * weights["kernel"], states)

    def apply_in_training(self, inputs, weights, states, site):
        """Outputs of the map in a training step, and the states to start the next one from."""
        kernel, states = self.train(weights, states, site)
        return site.map.in_training().apply(inputs, ops.cast(kernel, site.dtype)), states

    def exact(self, weights, site):
        """The kernel of inference."""
        return site.factor * weights["kernel"]

    def condensed(self, weights, kernel, site):
        """Weights that give the same kernel of inference, by name."""
        return {"kernel": kernel / site.factor}


@dataclasses.dataclass(frozen=True)
class Frobenius(Parametrization):
    """The free kernel divided by its Frobenius norm, or each column by its own.

    Args:
        disjoint_neurons: Whether each column has its own norm.
    """

    disjoint_neurons: bool = False

    def train(self, weights, states, site):
        return TrainedKernel(self._divided(weights["kernel"], site), states)

    def exact(self, weights, site):
        return self._divided(weights["kernel"], site)

    def _divided(self, kernel, site):
        scale = site.factor / site.map.error_norm(site.input_shape)
        return scale * divide_by_norm(kernel, 0 if self.disjoint_neurons else None, site.dtype)


@dataclasses.dataclass(frozen=True)
class Spectral(Parametrization):
    """A kernel that is orthonormal as a matrix, divided by the norm of its linear map.

    Args:
        orthogonalizer: `"retraction"`, `"bjorck"` or `"cholesky"`.
        eps_spectral: Without effect, kept for configurations of deel-lip: power iterations are
            counted by `maxiter_spectral`.
        eps_bjorck: Residual `|W^T W - I|` at which the inference kernel is orthonormal; `None`
            switches orthonormalization off and leaves spectral normalization.
        beta_bjorck: Step of the Björck iteration, in `(0, 0.5]`.
        maxiter_spectral: Power iterations in a training step.
        maxiter_bjorck: Björck iterations in a training step of `"bjorck"`.
        normalization: `"operator"`, or `"average"` for the factor of hKR eq. 11, no bound.
    """

    orthogonalizer: str = "retraction"
    eps_spectral: float = 1e-3
    eps_bjorck: float | None = 1e-3
    beta_bjorck: float = 0.5
    maxiter_spectral: int = 3
    maxiter_bjorck: int = 15
    normalization: str = "operator"

    def __post_init__(self):
        checks.choice("normalization", self.normalization, NORMALIZATIONS)
        set_fields(
            self,
            eps_spectral=checks.positive_float("eps_spectral", self.eps_spectral),
            **orthogonalizers.checked(self),
        )

    @property
    def keeps_norm(self):
        # Divided by an average, as in hKR eq. 11, a kernel may exceed it.
        return self.normalization == "operator"

    @functools.cached_property
    def _orthogonalizer(self):
        return orthogonalizers.get(
            self.orthogonalizer,
            eps_bjorck=self.eps_bjorck,
            beta_bjorck=self.beta_bjorck,
            maxiter_bjorck=self.maxiter_bjorck,
            maxiter_spectral=self.maxiter_spectral,
        )

    def weights(self, site, initializer):
        shape = site.map.kernel_shape(site.input_shape)
        return [Variable("kernel", shape, Started(initializer, self.project))]

    def states(self, site):
        kernel = site.map.kernel_shape(site.input_shape)
        states = [Variable("singular_vector", (kernel[-1],), "ones")]
        if self.normalization == "operator" and not site.map.norm_is_one():
            # A guess of the size where it is unknown: any image leads towards the norm.
            image = [n or 16 for n in site.input_shape[1:]]
            drawn = keras.initializers.RandomNormal(seed=0)
            states.append(Variable("singular_image", (1, *image), drawn))
        return states

    def project(self, weight):
        return ops.reshape(self._orthogonalizer.project(orthogonal.as_matrix(weight)), weight.shape)

    def orthonormal(self, weight):
        return orthogonal.as_matrix(weight) if self._orthogonalizer.keeps_orthonormal else None

    def apply_in_training(self, inputs, weights, states, site):
        known = self.normalization == "operator" and site.map.norm_is_one()
        # TensorFlow defines no gradient of one's own for a sparse tensor.
        if not (known and self._orthogonalizer.keeps_orthonormal) or backend.is_sparse(inputs):
            return super().apply_in_training(inputs, weights, states, site)
        kernel = ops.cast(weights["kernel"], site.dtype)
        return scaled(site.map.apply_orthonormal(inputs, kernel), site.factor), states

    def train(self, weights, states, site):
        kernel = weights["kernel"]
        matrix, vector = self._orthogonalizer.train(
            orthogonal.as_matrix(kernel), states["singular_vector"]
        )
        kernel, states = ops.reshape(matrix, kernel.shape), {**states, "singular_vector": vector}
        if self.normalization == "average":
            kernel = kernel / self._average_factor(site)
        elif "singular_image" in states:
            norm, image = power_step(site.map.apply, kernel, states["singular_image"])
            kernel = kernel / ops.maximum(norm, 1e-30)
            states["singular_image"] = image
        return TrainedKernel(scaled(kernel, site.factor), states)

    def exact(self, weights, site):
        kernel = weights["kernel"]
        matrix = self._orthogonalizer.exact(orthogonal.as_matrix(kernel))
        kernel = ops.reshape(matrix, kernel.shape)
        if self.normalization == "average":
            kernel = kernel / self._average_factor(site)
        else:
            kernel = kernel / ops.maximum(site.map.gram_bound(kernel, site.input_shape), 1e-30)
        rank = min(math.prod(kernel.shape[:-1]), kernel.shape[-1])
        return scaled(kernel / kernel_allowance(rank, kernel.shape, site), site.factor)

    def _average_factor(self, site):
        size = site.map.image_size(site.input_shape) or (32, 32)
        return convolution.average_duplication_factor(site.map.kernel_size, size, site.map.strides)


@dataclasses.dataclass(frozen=True)
class BlockOrthogonal(Parametrization):
    """A convolution kernel that is a product of orthonormal matrices, the weights.

    With the retraction the weights stay orthonormal, so that a training step pays for a few
    products of matrices of the size of the channels and nothing else.

    Args:
        orthogonalizer: `"retraction"`, `"bjorck"` or `"cholesky"`.
        eps_bjorck: Residual `|W^T W - I|` at which a matrix counts as orthonormal at inference.
        beta_bjorck: Step of the Björck iteration, in `(0, 0.5]`.
        maxiter_bjorck: Björck iterations in a training step of `"bjorck"`.
    """

    orthogonalizer: str = "retraction"
    eps_bjorck: float = 1e-3
    beta_bjorck: float = 0.5
    maxiter_bjorck: int = 15

    def __post_init__(self):
        if self.eps_bjorck is None:
            raise checks.refused(
                "eps_bjorck",
                "a positive float: a convolution of matrices that are not orthonormal is not "
                "orthogonal",
                "eps_bjorck=None",
            )
        set_fields(self, **orthogonalizers.checked(self))

    @functools.cached_property
    def _orthogonalizer(self):
        return orthogonalizers.get(
            self.orthogonalizer,
            eps_bjorck=self.eps_bjorck,
            beta_bjorck=self.beta_bjorck,
            maxiter_bjorck=self.maxiter_bjorck,
        )

    def weights(self, site, initializer):
        chain, groups = _chain(site), _groups(site)
        initializer = Started(OneDraw(initializer), self._orthogonalizer.exact)
        pairs, found = sum(chain.pairs), []
        if pairs * chain.rank:
            shape = (pairs, groups, chain.width, chain.rank)
            found.append(Variable("bases", shape, initializer))
        if chain.embedding:
            found.append(Variable("embedding", (groups, *chain.embedding), initializer))
        if chain.reduction:
            found.append(Variable("reduction", (groups, *chain.reduction), initializer))
        return found

    def project(self, weight):
        return self._orthogonalizer.project(weight)

    def orthonormal(self, weight):
        return weight if self._orthogonalizer.keeps_orthonormal else None

    def train(self, weights, states, site):
        matrices = {
            name: self._orthogonalizer.train_stack(weight) for name, weight in weights.items()
        }
        kernel = block_orthogonal.block_orthogonal_kernel(_chain(site), **matrices)
        return TrainedKernel(scaled(kernel, site.factor), states)

    def exact(self, weights, site):
        chain, shape = _chain(site), site.map.kernel_shape(site.input_shape)
        matrices = {name: self._polished(weight) for name, weight in weights.items()}
        kernel = block_orthogonal.block_orthogonal_kernel(chain, **matrices)
        kernel = kernel / (1.0 + _chain_allowance(chain))
        rank = min(shape[2] * _groups(site) * math.prod(chain.patch), shape[3])
        return scaled(kernel / kernel_allowance(rank, shape, site), site.factor)

    def condensed(self, weights, kernel, site):
        return {name: self._polished(weight) for name, weight in weights.items()}

    def _polished(self, stack):
        # In float64, where there is one: accelerators may multiply float32 with fewer bits.
        stack = ops.cast(stack, widest_float())
        # `exact` stops at what float32 can tell; one step more squares what is left.
        return orthogonal.bjorck(self._orthogonalizer.exact(stack), 1)


def _chain_allowance(chain):
    """How far above one rounding may leave the norm of a chain of orthonormal matrices."""
    pairs = 0 if widest_float() == "float64" else sum(chain.pairs)
    return _ROUNDING * chain.width**0.5 + _PAIR_ROUNDING * pairs


def scaled(kernel, factor):
    """The kernel times a Python number; no product where the number is one."""
    return kernel if factor == 1.0 else factor * kernel


def kernel_allowance(rank, shape, site):
    """What a kernel is divided by, so that rounding leaves its map at most as large as asked."""
    return rounding_allowance(rank, shape, site.dtype, site.map.error_norm(site.input_shape))


def _chain(site):
    """The matrices that a block orthogonal kernel is made of."""
    height, width, channels, filters = site.map.kernel_shape(site.input_shape)
    return block_orthogonal.block_orthogonal_shape(
        (height, width), site.map.image.strides, channels, filters // _groups(site)
    )


def _groups(site):
    return getattr(site.map, "groups", 1)
