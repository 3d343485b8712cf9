"""A layer that inputs pass as one map: how fast it moves them, and what it rounds."""

from typing import NamedTuple

import keras

from lipot.certificates.graph import graph_of, walk
from lipot.certificates.node import after_cast, computed_input_node, input_cast
from lipot.certificates.optimized_graphs import check_programs
from lipot.checks import positive_float
from lipot.math.rounding import UP, Affine


class Part(NamedTuple):
    """A map from inputs: its constant, its rounding for inputs of norm R, and its reach.

    Attributes:
        lipschitz: Lipschitz constant, proven or given.
        error: `Affine` bound of what is rounded on the way.
        reach: Norm of inputs up to which nothing overflows.
    """

    lipschitz: float
    error: Affine
    reach: float

    def motion(self, sizes):
        """Rounding at the point, and twice: it and the moved point each have one."""
        return 2.0 * self.error(sizes)

    @property
    def speed(self):
        """Motion for each unit of distance, rounding included."""
        return (self.lipschitz + self.error.slope) * UP


def bounded_part(name, layer, given, shape):
    """Bounds a map from the inputs by its graph, with a given constant in place of a proven.

    Args:
        name: What errors call it; the argument of the constant is `{name}_lipschitz`.
        layer: Keras layer or model, or `None` for the identity.
        given: Lipschitz constant to use, or `None` to prove one.
        shape: Shape of one input.

    Returns:
        `Part`.
    """
    given = None if given is None else positive_float(f"{name}_lipschitz", given)
    cast, reach = input_cast("float32", (None, *shape))
    if layer is None:
        return Part(1.0, cast, reach)
    try:
        # In whatever type they come, and the layer computes: the model takes them in float32.
        inputs = keras.Input(tuple(shape), dtype="float32")
        core = graph_of(keras.Model(inputs, layer(inputs)))
        nodes = walk(core, [computed_input_node(t, (None, *shape)) for t in core.inputs])
        check_programs(core, (None, *shape))
        # What comes after computes in it.
        node = after_cast(nodes[id(core.outputs[0])], "float32")
    except (TypeError, ValueError) as error:
        if given is None:
            raise ValueError(
                f"Invalid value received for argument `{name}_lipschitz`. Expected the Lipschitz "
                f"constant of the {name} '{layer.name}', as none could be proven: "
                f"{' '.join(str(error).split())} Received: {name}_lipschitz=None"
            ) from error
        return Part(given, cast.times(given), reach)
    lipschitz = node.lipschitz if given is None else given
    return Part(lipschitz, node.computed.error, node.computed.reach)
