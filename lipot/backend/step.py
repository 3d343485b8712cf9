"""One call in a graph of Keras: what was called, on what, and which shapes come of it."""

import dataclasses
from typing import Any

import keras


@dataclasses.dataclass(frozen=True)
class Step:
    """One call of a layer or an operation in a graph.

    Attributes:
        operation: What was called.
        args: Its positional arguments, with symbolic tensors in them.
        kwargs: Its named arguments.
        outputs: The symbolic tensors that it gave; empty where nobody has asked.
    """

    operation: Any
    args: tuple
    kwargs: dict
    outputs: tuple = ()

    @property
    def inputs(self) -> tuple:
        """The symbolic tensors among the arguments, in order."""
        leaves = keras.tree.flatten((self.args, self.kwargs))
        return tuple(leaf for leaf in leaves if isinstance(leaf, keras.KerasTensor))

    def arguments(self, values: dict) -> tuple[tuple, dict]:
        """Arguments with `values[id(tensor)]`, or None, in place of each symbolic tensor."""

        def filled(leaf):
            return values.get(id(leaf)) if isinstance(leaf, keras.KerasTensor) else leaf

        return keras.tree.map_structure(filled, (self.args, self.kwargs))

    def outputs_for(self, shapes: list) -> list:
        """Symbolic tensors as the operation says that it gives them for inputs of other shapes."""
        # What says no shapes itself is run on symbols, with the casts of a whole call.
        operation = self.operation if self.says_shapes else _Call(self.operation)
        return self._outputs_of(operation, shapes)

    def outputs_called(self, shapes: list) -> list:
        """Symbolic tensors as a call gives them for inputs of other shapes, whatever it says."""
        return self._outputs_of(_Call(self.operation), shapes)

    def _outputs_of(self, operation, shapes):
        specs = {id(t): keras.KerasTensor(s, t.dtype) for t, s in zip(self.inputs, shapes)}
        args, kwargs = self.arguments(specs)
        kwargs = {name: value for name, value in kwargs.items() if name != "training"}
        return keras.tree.flatten(operation.compute_output_spec(*args, **kwargs))

    @property
    def says_shapes(self) -> bool:
        """Whether the class of the operation itself says which shapes it gives."""
        own, names = type(self.operation), ("compute_output_shape", "compute_output_spec")
        return any(getattr(own, n, None) is not getattr(keras.layers.Layer, n) for n in names)


class _Call(keras.Operation):
    """A layer as an operation: its shapes are those of its whole call."""

    def __init__(self, layer):
        super().__init__()
        self._layer = layer

    def call(self, *args, **kwargs):
        # TensorFlow takes fewer names outside of a scope than inside.
        with keras.name_scope("call"):
            return self._layer(*args, **kwargs)
