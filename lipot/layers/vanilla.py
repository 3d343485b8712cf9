"""Stock Keras layers with the outputs of a layer of lipot at inference."""

import functools

import keras
from keras import ops

from lipot.backend.added_biases import is_uniform
from lipot.math import linear_maps
from lipot.math.padding import pad_spatial


@functools.singledispatch
def export(linear_map, layer):
    """Builds the stock twin of a `KernelLayer`.

    Args:
        linear_map: The layer's map, which decides what the twin is.
        layer: The built layer.

    Returns:
        A built Keras layer or functional model.
    """
    raise TypeError(
        f"No stock layer is known for the map {linear_map}. Expected one of lipot.math.linear_maps."
    )


@export.register
def _(linear_map: linear_maps.Dense, layer):
    twin = keras.layers.Dense(linear_map.units, **_shared(layer))
    return _with_weights(twin, layer, _input_shape(linear_map, layer))


@export.register
def _(linear_map: linear_maps.Conv2D, layer):
    return _convolution(keras.layers.Conv2D, linear_map, layer, layer.inference_kernel)


@export.register
def _(linear_map: linear_maps.Conv1D, layer):
    return _convolution(keras.layers.Conv1D, linear_map, layer, layer.inference_kernel[:, 0])


@export.register
def _(linear_map: linear_maps.Conv2DTranspose, layer):
    twin = keras.layers.Conv2DTranspose(
        linear_map.filters,
        linear_map.kernel_size,
        strides=linear_map.strides,
        padding="same" if linear_map.padding == "same" else "valid",
        data_format=linear_map.data_format,
        **_shared(layer),
    )
    return _biased(_with_weights(twin, layer, _input_shape(linear_map, layer)), linear_map, layer)


@export.register
def _(linear_map: linear_maps.ClosedConv2DTranspose, layer):
    if linear_map.padding != "circular":
        return export.dispatch(linear_maps.Conv2DTranspose)(linear_map, layer)
    if linear_map.excess and None in layer.get_build_config()["input_shape"][1:]:
        raise ValueError(
            f"Layer '{layer.name}' has no twin of stock layers for images of open size, whose "
            "borders they would fold wrongly where images are smaller than the kernel. Expected a "
            "model with a fixed input shape."
        )
    twin = keras.layers.Conv2DTranspose(
        linear_map.filters,
        linear_map.kernel_size,
        strides=linear_map.strides,
        padding="valid",
        data_format=linear_map.data_format,
        use_bias=False,
        name=layer.name,
        dtype=layer.dtype_policy,
    )
    twin = _with_weights(twin, layer, _input_shape(linear_map, layer))
    inputs = _input(layer)
    if _bias_comes_apart(layer):
        outputs = _with_bias(linear_map, layer, linear_map.fold(twin(inputs)))
        return keras.Model(inputs, outputs, name=f"{layer.name}_folded")
    # Stock layers add a bias before the borders are folded: a convolution by one adds it after.
    shift = keras.layers.DepthwiseConv2D(
        1,
        data_format=linear_map.data_format,
        depthwise_initializer="ones",
        **{**_shared(layer), "name": f"{layer.name}_bias"},
    )
    outputs = shift(linear_map.fold(twin(inputs)))
    if layer.use_bias:
        _set_weights(shift, [shift.kernel, layer.bias])
    return keras.Model(inputs, outputs, name=f"{layer.name}_folded")


@export.register
def _(linear_map: linear_maps.SkewExponential, layer):
    kernel, inputs = layer.inference_kernel, _input(layer)
    width = int(kernel.shape[3])
    convolution = stock_convolution(linear_map.convolution(width), kernel, layer.dtype_policy)
    outputs = linear_map.exponential(inputs, convolution, width)
    return keras.Model(inputs, _with_bias(linear_map, layer, outputs), name=layer.name)


def stock_convolution(linear_map, kernel, dtype, bias=None, activation=None):
    """A function of batches that pads and applies one stock `Conv2D` with this kernel."""
    circular = linear_map.padding == "circular"
    if bias is not None and _needs_own_axis(linear_map, bias):
        convolve, activate = stock_convolution(linear_map, kernel, dtype), keras.activations.get
        return lambda images: activate(activation)(_shifted(linear_map, convolve(images), bias))
    layer = keras.layers.Conv2D(
        kernel.shape[3],
        linear_map.kernel_size,
        padding="valid" if circular else linear_map.padding,
        data_format=linear_map.data_format,
        activation=activation,
        use_bias=bias is not None,
        dtype=dtype,
    )
    shape = [None] * 4
    shape[linear_map.channel_axis] = kernel.shape[2]
    layer.build(tuple(shape))
    _set_weights(layer, [kernel] if bias is None else [kernel, bias])

    def apply(images):
        return layer(
            pad_spatial(images, linear_map.pads, linear_map.padding, linear_map.spatial_axes)
        )

    return apply


def _convolution(stock_class, linear_map, layer, kernel):
    stock = linear_map.padding in ("same", "valid")
    twin = stock_class(
        linear_map.filters,
        linear_map.kernel_size,
        strides=linear_map.strides,
        padding=linear_map.padding if stock else "valid",
        data_format=linear_map.data_format,
        dilation_rate=linear_map.dilation_rate,
        groups=linear_map.groups,
        **_shared(layer),
    )
    twin = _with_weights(twin, layer, _input_shape(linear_map, layer), kernel)
    return _biased(twin if stock else _padded(twin, linear_map, layer), linear_map, layer)


def _padded(twin, linear_map, layer):
    inputs, image = _input(layer), getattr(linear_map, "image", linear_map)
    # A sequence is an image without its second axis.
    count = len(inputs.shape) - 2
    axes, pads = image.spatial_axes[:count], image.pads[:count]
    padded = pad_spatial(inputs, pads, linear_map.padding, axes)
    return keras.Model(inputs, twin(padded), name=f"{layer.name}_padded")


def _biased(twin, linear_map, layer):
    """A twin as it is, or before the bias and the activation that it was made without."""
    if not _bias_comes_apart(layer):
        return twin
    inputs = twin.input if isinstance(twin, keras.Model) else None
    if inputs is None:
        shape = _input_shape(linear_map, layer)[1:]
        inputs = keras.Input(shape, dtype=layer.compute_dtype)
    outputs = _with_bias(linear_map, layer, twin(inputs))
    return keras.Model(inputs, outputs, name=f"{layer.name}_biased")


def _with_bias(linear_map, layer, outputs):
    if layer.bias is not None:
        outputs = _shifted(linear_map, outputs, layer.bias)
    return layer.activation(outputs)


def _shifted(linear_map, outputs, bias):
    return linear_map.add_bias(outputs, ops.cast(ops.convert_to_tensor(bias), outputs.dtype))


def _bias_comes_apart(layer):
    return layer.use_bias and _needs_own_axis(layer.linear_map, layer.bias)


def _needs_own_axis(linear_map, bias):
    """Whether a stock layer might add a bias along another axis than the channels.

    That is where images are as wide as they have channels, which a layer of any size may meet.
    """
    return getattr(linear_map, "data_format", None) == "channels_first" and not is_uniform(bias)


def _shared(layer):
    apart = _bias_comes_apart(layer)
    return {
        "activation": None if apart else layer.activation,
        "use_bias": layer.use_bias and not apart,
        "name": layer.name,
        "dtype": layer.dtype_policy,
    }


def _input(layer):
    return keras.Input(layer.get_build_config()["input_shape"][1:], dtype=layer.compute_dtype)


def _input_shape(linear_map, layer):
    """The shape that the layer was built for, of every size."""
    built = tuple(layer.get_build_config()["input_shape"])
    axes = linear_map.input_axes(linear_map.channels(built))["axes"]
    kept = {axis % len(built) for axis in axes}
    return tuple(n if axis in kept else None for axis, n in enumerate(built))


def _with_weights(twin, layer, shape, kernel=None):
    twin.build(shape)
    kernel = layer.inference_kernel if kernel is None else kernel
    _set_weights(twin, [kernel, layer.bias] if twin.use_bias else [kernel])
    return twin


def _set_weights(layer, weights):
    layer.set_weights([ops.convert_to_numpy(ops.cast(w, layer.dtype)) for w in weights])
