"""Optimizers that know which kernels are orthonormal matrices."""

from lipot.optimizers.manifold_adam import ManifoldAdam
