"""Which part of a model is on which device, where it is spread over several."""

import math
import re

import keras

from lipot import checks
from lipot.backend.keras_graph import all_layers
from lipot.models.neighbor_memory import NeighborMemory


def layout_map(model, device_mesh, axis="model", least=2**20):
    """Says how the devices of a mesh share what is wide in a model.

    Of a matrix each device holds some rows or columns, along the longer side: the retraction of an
    orthonormal kernel computes a matrix as wide as the shorter one. Of a convolution kernel each
    holds some of the filters, and of the stored points of an OTAD some of the points, which it
    searches. The kernel that inference keeps beside a weight is shared like it. What is small, or
    has no side that the devices divide, is on every device.

    The map knows weights by the names of their layers. So save the model, set
    `keras.distribution.ModelParallel`, which Keras has on JAX, and load it.

    Args:
        model: Built Keras model.
        device_mesh: `keras.distribution.DeviceMesh`.
        axis: Name of the axis of the mesh whose devices share a weight.
        least: How many numbers a weight has at least that is shared.

    Returns:
        A `keras.distribution.LayoutMap`.

    Raises:
        ValueError: If the model is not built or the mesh has no such axis, or if two layers with
            one name would be shared in different ways.

    Example:

    >>> import lipot
    >>> devices = [f"cpu:{place}" for place in range(4)]
    >>> mesh = keras.distribution.DeviceMesh((1, 4), ("batch", "model"), devices)
    >>> wide = lipot.layers.SpectralDense(8, name="wide")
    >>> model = keras.Sequential([keras.Input((32,)), wide, lipot.layers.FrobeniusDense(3)])
    >>> layout_map(model, mesh, least=100)["wide/kernel"].axes
    ('model', None)
    """
    checks.instance("model", model, keras.layers.Layer, "a Keras model")
    checks.instance(
        "device_mesh", device_mesh, keras.distribution.DeviceMesh, "a keras.distribution.DeviceMesh"
    )
    checks.choice("axis", axis, tuple(device_mesh.axis_names))
    checks.positive_int("least", least)
    if not model.built:
        raise checks.invalid("model", "a model with weights: give it an input shape", model.name)
    devices = dict(zip(device_mesh.axis_names, device_mesh.shape))[axis]
    layouts = {}
    for layer, variable in _own_variables(model):
        place = _shared_side(layer, variable, devices, least)
        sides = [axis if side == place else None for side in range(len(variable.shape))]
        sides = None if place is None else tuple(sides)
        pattern = f"(.*/)?{re.escape(layer.name)}/{re.escape(variable.name)}"
        if layouts.setdefault(pattern, sides) != sides:
            raise checks.refused(
                "model",
                "layers with names of their own",
                f"several named '{layer.name}' with a `{variable.name}` that is shared as "
                f"{layouts[pattern]} and as {sides}",
            )
    found = keras.distribution.LayoutMap(device_mesh)
    for pattern, sides in layouts.items():
        if sides is not None:
            found[pattern] = sides
    return found


def _own_variables(model):
    """Every layer with each variable that belongs to it and to no layer inside it."""
    for layer in all_layers(model):
        inside = {id(v) for part in all_layers(layer) if part is not layer for v in part.variables}
        for variable in layer.variables:
            if id(variable) not in inside:
                yield layer, variable


def _shared_side(layer, variable, devices, least):
    """Place of the side that the devices share, or `None`."""
    shape = tuple(variable.shape)
    last = len(shape) - 1
    if math.prod(shape) < least or last < 1:
        return None
    if isinstance(layer, NeighborMemory):
        sides = [0]
    else:
        sides = [0, 1] if last == 1 and shape[0] > shape[1] else [last, last - 1]
    return next((side for side in sides if shape[side] % devices == 0), None)
