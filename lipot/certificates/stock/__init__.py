"""Bounds of the layers of Keras itself; the layers of lipot state their own."""

from lipot.certificates.stock import (
    activations,
    augmentation,
    einsum,
    linear,
    pooling,
    reshaping,
    resizing,
    volumes,
    wrappers,
)
