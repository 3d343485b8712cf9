"""Reading the numbers and sizes that bounds of layers are made of."""

import keras
import numpy as np
from keras import ops

from lipot import checks
from lipot.backend.keras_graph import all_layers
from lipot.layers.applied_weights import applied_weight
from lipot.layers.kernel_layer import KernelLayer
from lipot.math.precision import widest_float


def dense_kernel(layer):
    """The matrix a dense layer applies at inference, in float64."""
    if isinstance(layer, KernelLayer):
        return layer.applied_kernel()
    check_not_quantized(layer)
    return applied_weight(layer, "kernel")


def image_size(layer, input_shape):
    """Spatial sizes and number of channels of a layer's input; the sizes must be known."""
    size, channels = split_image(input_shape, layer.data_format)
    if None in size:
        raise ValueError(
            f"Layer '{layer.name}' is bounded for one image size. Expected a model with a fixed "
            f"input shape. Received: input_shape={tuple(input_shape)}"
        )
    return size, channels


def channels_read(layer, input_shape):
    """Number of channels of a layer's input."""
    return split_image(input_shape, layer.data_format)[1]


def split_image(shape, data_format):
    """Spatial sizes and number of channels of a shape `(batch, ...)`.

    Example:

    >>> split_image((None, 8, 6, 3), "channels_last"), split_image((None, 3, 8), "channels_first")
    (((8, 6), 3), ((8,), 3))
    """
    if data_format == "channels_first":
        return tuple(shape[2:]), shape[1]
    return tuple(shape[1:-1]), shape[-1]


def for_each_axis(value, count):
    """A list of numbers, one for each of some axes; frameworks take a single one for all of them.

    Example:

    >>> for_each_axis(3, 2), for_each_axis((3,), 2), for_each_axis((3, 1), 2)
    ([3, 3], [3, 3], [3, 1])
    """
    return np.broadcast_to(value, count).tolist()


def check_not_quantized(layer):
    """Raises for a stock layer that no longer applies its float kernel as it can be read."""
    if not layer.built:
        raise ValueError(f"Layer '{layer.name}' has no weights yet. Expected a built model.")
    mode = getattr(layer, "quantization_mode", None)
    if mode is not None:
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified. Expected float weights. "
            f"Received: quantization_mode={mode!r}"
        )
    if _has_adapters(layer):
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified: it adds its LoRA weights to its kernel at "
            "each call, and compilers add them in an order of their own. Expected merged weights: "
            "save the model and load it. Received: lora_enabled=True"
        )


def _has_adapters(layer):
    """Whether LoRA changes the kernel of a layer. A loaded model has them merged, and zeros."""
    return getattr(layer, "lora_enabled", False) and all(
        bool(ops.any(ops.not_equal(weight, 0.0)))
        for weight in (layer.lora_kernel_a, layer.lora_kernel_b)
    )


def check_finite(model):
    """Raises for a model with weights that are NaN or infinite, or of a type not their own."""
    for weight in model.weights:
        _check_type(weight)
        values = ops.convert_to_numpy(ops.cast(weight, widest_float()))
        if not np.all(np.isfinite(values)):
            raise checks.refused(
                "model",
                "finite weights",
                f"{np.sum(~np.isfinite(values))} values of '{weight.path}' not finite",
            )


def _check_type(weight):
    """Raises for a weight that PyTorch has moved to another type than Keras believes it has."""
    held = keras.backend.standardize_dtype(weight.value.dtype)
    # On JAX Keras itself holds float64 in float32, on PyTorch integers in others.
    narrowed = weight.dtype == "float64" and held == widest_float()
    if "float" in weight.dtype and held != weight.dtype and not narrowed:
        raise checks.refused(
            "model",
            "weights of the types that Keras gave them: make the layers with a `dtype`, since "
            "`model.half()` or `model.double()` of PyTorch leaves it in ignorance",
            f"'{weight.path}' of {weight.dtype}, in {held}",
        )


def check_weights_are_cast(layer):
    """Raises where a layer computes with weights of another type than its own, as they are."""
    policy = layer.dtype_policy
    if layer.autocast and policy.compute_dtype != policy.variable_dtype:
        return
    inside = {id(v) for part in all_layers(layer) if part is not layer for v in part.variables}
    own = [variable for variable in layer.variables if id(variable) not in inside]
    types = {keras.backend.standardize_dtype(variable.dtype) for variable in own}
    if any("float" in dtype and dtype != layer.compute_dtype for dtype in types):
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified: Keras does not cast its weights, and "
            f"computes in another type than its own. Expected autocast=True and a dtype policy "
            f"that the layer was made with, or weights in {layer.compute_dtype}. "
            f"Received: weights in {sorted(types)}, policy {policy.name}"
        )
