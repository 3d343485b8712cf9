"""Weights as the call of a layer reads them, for bounds."""

import keras

from lipot.backend.keras_graph import is_cast_in_calls
from lipot.math.rounding import applied


def applied_weight(layer, name):
    """A weight that a layer's call reads as it stands, rounded to the compute dtype, in float64.

    Keras rounds the variables of a layer on their way into its call. A variable that asked not to
    be, or an array put in the place of one, enters the products in its own type.

    Args:
        layer: A built Keras layer.
        name: The attribute that holds the weight.
    """
    weight = getattr(layer, name)
    _check_shape(layer, name, weight)
    own = keras.backend.standardize_dtype(weight.dtype)
    dtype, policy = layer.compute_dtype, layer.dtype_policy
    cast = layer.autocast and policy.compute_dtype != policy.variable_dtype
    if own != dtype and not (cast and "float" in own and is_cast_in_calls(weight)):
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified: Keras does not cast its `{name}`, and "
            f"computes in another type than that of the layer. Expected a variable that the layer "
            f"added, with autocast, and new values by `assign`; or one in {dtype}. Received: a "
            f"{type(weight).__name__} in {own}"
        )
    return applied(weight, dtype)


def _check_shape(layer, name, weight):
    """Raises for an array of other sizes than those of the weight that it was put in the place of.

    A call repeats values to meet it, or gives other sizes than the layer says.
    """
    # A layer lists its own weights before those of the layers inside it.
    added = next((tuple(v.shape) for v in layer.variables if v.name == name), None)
    if added not in (None, tuple(weight.shape)):
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified: its `{name}` was replaced. Expected the "
            f"shape {added}, as it was built. Received: shape {tuple(weight.shape)}"
        )
