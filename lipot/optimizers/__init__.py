"""Optimizers that know orthonormal kernels, or a learning rate for each variable."""

from lipot.optimizers.manifold_adam import ManifoldAdam
from lipot.optimizers.rate_factors import RateFactors
