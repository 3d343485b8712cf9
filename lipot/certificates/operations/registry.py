"""Where the bound of an operation is looked up, by its kind."""

import inspect
from typing import Any, NamedTuple

import keras

from lipot import checks
from lipot.backend.keras_graph import fault_of, operation_kind
from lipot.certificates.node import after_bound, after_move
from lipot.math.norms import norm_of_ones

NO_PRODUCT = (
    "a product of two tensors that depend on the input has no Lipschitz constant on all inputs. "
    "Squeeze-and-excitation, gates and attention are such products: take an architecture without "
    "them, or put the product into a layer of your own that limits its factors, and state the "
    "bound of that with `@lipot.certificates.register_bound`."
)
# By what stands against a bound.
_REASONS = {
    "steep": "its slope grows without end, so it has no Lipschitz constant on all inputs. Take a "
    "function of bounded slope, such as tanh or softplus.",
    "vertical": "it is steep without end near some input, so it has no Lipschitz constant. Take a "
    "function of bounded slope, such as tanh or softplus.",
    "product": NO_PRODUCT,
    "statistic": "it takes a statistic of its own input, which has no Lipschitz constant, or "
    "divides by it. Use BatchNormalization, which divides by constants at inference.",
    "jump": "it jumps, so it has no Lipschitz constant. Certify the model without it, from what "
    "comes after it or up to what comes before it.",
}
_NODES = {}


class Called(NamedTuple):
    """One call of an operation in a graph.

    Attributes:
        operation: What was called.
        kind: What it does, one of the words of `operation_kind`.
        args: Its positional arguments, with a node in place of each tensor of the graph.
        kwargs: Its named arguments, likewise.
        nodes: These nodes, in order.
        output: What it gives: a tensor at the input zero, or a symbolic one.
    """

    operation: Any
    kind: str
    args: tuple
    kwargs: dict
    nodes: list
    output: Any

    @property
    def dtype(self):
        """Float type of what it gives."""
        return keras.backend.standardize_dtype(self.output.dtype)

    @property
    def node(self):
        """Its one node."""
        if len(self.nodes) != 1:
            raise self.unknown()
        return self.nodes[0]

    @property
    def rank(self):
        """Number of axes of its one node."""
        return len(self.node.shape)

    @property
    def data_format(self):
        """Where the images of its one node have their channels."""
        return checks.data_format("data_format", self.operation.data_format)

    @property
    def operands(self):
        """Its arguments in the order in which it names them."""
        signature = inspect.signature(self.operation.call)
        given = signature.bind(*self.args, **self.kwargs)
        return [*given.args, *given.kwargs.values()]

    def after(self, bound):
        """Node of the output, behind a map of the one node with a `LayerBound`."""
        return after_bound(self.node, bound, self.dtype, self.output)

    def moved(self, copies=1):
        """Node of the output, of values that are moved, each to so many places at most."""
        return after_move(self.node, self.dtype, self.output, norm_of_ones(copies, self.node.norm))

    def axes(self, axis, rank=None):
        """The axes that an argument names, counted from the first, or an error for the batch."""
        rank = self.rank if rank is None else rank
        listed = axis if isinstance(axis, list | tuple) else [axis]
        if axis is None or any(n % rank == 0 for n in listed):
            raise self.refused(
                "it moves or joins the samples of a batch. Expected axes other than 0. "
                f"Received: axis={axis} of a tensor of {rank} axes"
            )
        return [n % rank for n in listed]

    def refused(self, why):
        """The error that says why this call has no bound, and what to do."""
        name, kind = self.operation.name, type(self.operation).__name__
        return ValueError(f"'{name}' (`{kind}`) cannot be certified: {why}")

    def unknown(self):
        """The error for a call that nothing is known of."""
        return ValueError(
            f"No Lipschitz bound is known for the operation `{type(self.operation).__name__}` "
            f"('{self.operation.name}'), called like this. "
            "Expected layers, sums of tensors or products with constants; docs/certificates.md "
            "lists the operations that have a bound. Put it into a layer "
            "and register its bound with `@lipot.certificates.register_bound(LayerClass)`."
        )


def node_of(*kinds):
    """Teaches the certificates some kinds of operations.

    The decorated function receives a `Called` and returns the `Node` of its output, or raises an
    error that says why there is none.
    """

    def register(function):
        _NODES.update(dict.fromkeys(kinds, function))
        return function

    return register


def operation_node(operation, args, kwargs, nodes, output):
    """Node after one operation, or an error that names it."""
    kind = operation_kind(operation)
    call = Called(operation, kind, args, kwargs, nodes, output)
    fault = fault_of(operation)
    if fault is not None:
        raise call.refused(_REASONS[fault])
    if kind not in _NODES:
        raise call.unknown()
    return _NODES[kind](call)
