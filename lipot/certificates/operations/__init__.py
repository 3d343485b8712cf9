"""Bounds of `keras.ops` calls that stand directly in a functional graph, such as `x + y`."""

from lipot.certificates.operations import activations, convolutions, matrices, moves, pooling
from lipot.certificates.operations.registry import NO_PRODUCT, operation_node
from lipot.certificates.operations.sums import BROADCASTING, largest_factor, uniform_factor
