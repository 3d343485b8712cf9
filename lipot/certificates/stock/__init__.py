"""Bounds of the layers of Keras itself; the layers of lipot state their own."""

from lipot.certificates.stock import (
    activations,
    augmentation,
    einsum,
    linear,
    pooling,
    refusals,
    reshaping,
    resizing,
    volumes,
    wrappers,
)
