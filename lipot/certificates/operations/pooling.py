"""Pooling and resizing of images, called as operations."""

from lipot.certificates.operations.registry import node_of
from lipot.certificates.stock.pooling import averages, maxima, windows_of
from lipot.certificates.stock.resizing import check_images, resized
from lipot.certificates.weights import split_image


@node_of("maximum pooling", "average pooling")
def pooling(call):
    operation, size = call.operation, _image(call)[0]
    strides = operation.pool_size if operation.strides is None else operation.strides
    windows = windows_of(size, operation.pool_size, strides, operation.padding)
    if call.kind == "maximum pooling":
        return call.after(maxima(windows, call.node.norm))
    return call.after(averages(windows, call.node.norm, call.dtype))


@node_of("resizing")
def resizing(call):
    check_images(call.operation, call.node.shape)
    size, channels = _image(call)
    operation, norm = call.operation, call.node.norm
    return call.after(resized(operation, size, operation.size, channels, norm, call.dtype))


def _image(call):
    """Spatial sizes and number of channels of what an operation on images is given."""
    size, channels = split_image(call.node.shape, call.data_format)
    if None in size:
        raise call.refused(
            "it is bounded for one image size. Expected a model with a fixed input shape. "
            f"Received: shape {tuple(call.node.shape)}"
        )
    return size, channels
