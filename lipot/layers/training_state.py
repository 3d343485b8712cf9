"""What a training step leaves in a layer for the next one."""

from lipot import backend


def hand_on(layer, name, value):
    """Assigns to the variable of a name what a training step leaves in it.

    Args:
        layer: The layer, with the variable as an attribute.
        name: Name of the attribute.
        value: Tensor.

    Raises:
        ValueError: The step is one of JAX's inner programs, which nothing can be assigned in.
    """
    variable = getattr(layer, name)
    if not backend.can_assign(variable):
        raise ValueError(
            f"Layer '{layer.name}' cannot keep its `{name}` here in training: on JAX nothing is "
            "assigned inside of keras.layers.RNN, or of keras.ops.map, scan or cond. Expected "
            "keras.layers.RNN(..., unroll=True), or the layer outside of the others."
        )
    variable.assign(value)
