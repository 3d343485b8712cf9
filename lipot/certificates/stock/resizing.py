"""Bounds of layers that resize images."""

import math

import keras

from lipot.certificates.weights import image_size
from lipot.layers.layer_bounds import register_bound
from lipot.math.norms import norm_of_ones
from lipot.math.resizing import Interpolation, is_unambiguous, resizing_bound
from lipot.math.rounding import LayerBound

layers = keras.layers


@register_bound(layers.UpSampling2D)
def upsampling(layer, input_shape, norm):
    if layer.interpolation == "nearest":
        # By repetition, of images of any size.
        return LayerBound(norm_of_ones(math.prod(layer.size), norm))
    (height, width), channels = image_size(layer, input_shape)
    sizes = (height, width), (height * layer.size[0], width * layer.size[1])
    return resized(layer, *sizes, channels, norm, layer.compute_dtype)


@register_bound(layers.Resizing)
def resizing(layer, input_shape, norm):
    check_images(layer, input_shape)
    size, channels = image_size(layer, input_shape)
    return resized(layer, size, (layer.height, layer.width), channels, norm, layer.compute_dtype)


@register_bound(layers.CenterCrop)
def center_crop(layer, input_shape, norm):
    check_images(layer, input_shape)
    size, _ = image_size(layer, input_shape)
    if any(n < m for n, m in zip(size, (layer.height, layer.width))):
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified: it enlarges images of {size} to "
            f"{(layer.height, layer.width)}. Expected images that are no smaller: put a Resizing "
            "before it."
        )
    return LayerBound(1.0)


def check_images(operation, input_shape):
    """Raises where the first axis would be the height of one image, or its channels."""
    if len(input_shape) != 4:
        raise ValueError(
            f"'{operation.name}' cannot be certified: it takes the batch for an axis of one image. "
            "Expected images (batch, height, width, channels). "
            f"Received: shape {tuple(input_shape)}"
        )


def resized(operation, size, output_size, channels, norm, dtype):
    """Bound of a layer or operation that resizes images, or an error that says why it has none."""
    fits = any(getattr(operation, f"{kind}_to_aspect_ratio", False) for kind in ("crop", "pad"))
    products = size[0] * output_size[1], size[1] * output_size[0]
    # Frameworks compare the ratios in float32.
    if fits and (len(set(products)) > 1 or max(products) > 2**24):
        raise ValueError(
            f"'{operation.name}' cannot be certified: it crops or pads images of {tuple(size)} to "
            f"the aspect ratio of {tuple(output_size)} first. Expected crop_to_aspect_ratio=False "
            "and pad_to_aspect_ratio=False, or images of that ratio: use Cropping2D or "
            "ZeroPadding2D before it."
        )
    method = Interpolation(operation.interpolation, getattr(operation, "antialias", False))
    pairs = list(zip(size, output_size))
    _check_agreed(operation.name, method, pairs)
    return resizing_bound(size, output_size, method, norm, dtype, channels)


def _check_agreed(name, method, pairs):
    """Raises where a framework, or its compiler, may compute another map than is bounded."""
    backend = keras.backend.backend()
    if method.method not in ("nearest", "bilinear"):
        raise _refused(name, "Expected interpolation='bilinear' or 'nearest'.", method, pairs)
    if method.method == "nearest":
        if not all(is_unambiguous(*pair) for pair in pairs):
            why = "rounding may decide which pixel is the nearest. Expected "
            why += "interpolation='bilinear', or sizes of which one is a multiple of the other."
            raise _refused(name, why, method, pairs)
    elif method.antialias:
        if backend == "torch" and any(1 in pair for pair in pairs):
            why = "PyTorch may read other pixels of images that are one pixel high or wide. "
            raise _refused(name, why + "Expected antialias=False.", method, pairs)
    elif backend == "tensorflow" and any(map(_meets_pixels, pairs)):
        why = "TensorFlow's compiler XLA may read other pixels than TensorFlow does where rounding "
        why += "decides whether an output lies right on a pixel. Expected sizes of which one can "
        why += "be divided by 2 more often than the other, or Resizing(..., antialias=True), which "
        why += "does the same to images that grow."
        raise _refused(name, why, method, pairs)


def _meets_pixels(pair):
    """Whether the center of some output is that of an input, and a rounded number.

    It is where `(2 i + 1) n = (2 j + 1) m` for some `i` and `j`, and `n / m` is exact where it is
    a whole number.
    """
    common = math.gcd(*pair)
    n, m = (number // common for number in pair)
    return bool(n % 2 and m % 2 and m > 1)


def _refused(name, why, method, pairs):
    size, output_size = zip(*pairs)
    return ValueError(
        f"'{name}' cannot be certified: {why} Received: interpolation={method.method!r}, "
        f"antialias={method.antialias}, for {size} resized to {output_size}"
    )
