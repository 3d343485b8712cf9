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
