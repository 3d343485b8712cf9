"""Convolutions with a constant kernel, called as operations."""

from types import SimpleNamespace

from lipot.certificates.node import Node, check_adds_up
from lipot.certificates.operations.matrices import constant_factor
from lipot.certificates.operations.registry import node_of
from lipot.certificates.stock.linear import as_image, of_groups
from lipot.certificates.weights import for_each_axis, split_image


@node_of("convolution", "depthwise convolution")
def convolution(call):
    """As the layer does it, with any number of groups."""
    inputs, constant = call.operands
    if not isinstance(inputs, Node):
        raise call.unknown()
    kernel = constant_factor(call, constant)
    if kernel.ndim != call.rank or kernel.ndim not in (3, 4):
        raise call.refused(
            "Expected images or sequences, and a constant kernel of as many axes. Received: a "
            f"kernel of shape {kernel.shape}"
        )
    if call.node.computed is not None:
        check_adds_up(call.operation)
    view = as_image(_arguments(call, kernel.ndim - 2), call.node.shape)
    kernel = view.of_image(kernel)
    if call.kind == "convolution":
        groups = split_image(call.node.shape, call.data_format)[1] // kernel.shape[2]
    else:
        kernel, groups = of_groups(kernel)
    bound = view.map(kernel, groups).bound(kernel, view.shape, norm=call.node.norm)
    return call.after(bound)


def _arguments(call, rank):
    """The arguments of a convolution on so many axes, by the names that a layer has for them."""
    operation = call.operation
    return SimpleNamespace(
        strides=for_each_axis(operation.strides, rank),
        dilation_rate=for_each_axis(operation.dilation_rate, rank),
        padding=operation.padding,
        data_format=call.data_format,
    )
