"""The last linear layer of a classifier, and what comes before it."""

import dataclasses
import functools
from typing import NamedTuple

import keras
import numpy as np

from lipot import checks
from lipot.backend.keras_graph import operation_kind, producer
from lipot.backend.squashing import TRANSPARENT
from lipot.certificates.graph import enter, graph_of, walk
from lipot.certificates.node import Node, after_cast, folding
from lipot.certificates.operations import uniform_factor
from lipot.certificates.weights import dense_kernel
from lipot.layers.activation_bounds import is_linear
from lipot.layers.applied_weights import applied_weight
from lipot.layers.kernel_layer import is_dense
from lipot.layers.layer_bounds import layer_bound
from lipot.layers.linf_distance_dense import LInfDistanceDense
from lipot.math.norms import dual_norm
from lipot.math.rounding import FloatFormat, float_format

# The casts before and after it, of its factor too, a quotient's inverse, and the product itself.
_OF_A_PRODUCT = 8
_NAMES = {
    keras.activations.softmax: "softmax",
    keras.activations.log_softmax: "log_softmax",
    keras.activations.sigmoid: "sigmoid",
}


@dataclasses.dataclass(frozen=True)
class Head:
    """A classifier `x -> W g(x) + b`, taken apart; the identity is `W` where it is `g` alone.

    Attributes:
        features: Keras models that compute `g` when applied one after the other.
        node: What is known about the map `g`.
        kernel: `W`, `(n, q)` in float64.
        bias: `b`, `(q,)` in float64.
        roundings: Length of the longest chain of roundings in `W g + b`.
        roundoff: Unit roundoff of the last layer and of what follows it.
        smallest: Smallest normal number of the same.
        largest: What the norm of no logit may exceed, lest it overflow there or later.
        squashed: Whether a softmax, its logarithm or a sigmoid follows.
        scale: What the logits are multiplied by before that, a positive float.
    """

    features: list
    node: Node
    kernel: np.ndarray
    bias: np.ndarray
    roundings: int
    roundoff: float
    smallest: float
    largest: float
    squashed: bool
    scale: float = 1.0

    @functools.cached_property
    def sizes(self):
        """Norms of the columns of `W`, in the dual of the norm at hand, `(q,)`."""
        return dual_norm(self.kernel, self.node.norm, axis=0)

    def differences(self, classes):
        """Norms of the differences of the columns of some classes to every column, `(n, q)`."""
        # One pass over the kernel a class: of thousands, few are ever the top class of a batch.
        known = self._differences_of_class
        for i in set(classes.tolist()) - known.keys():
            column = self.kernel[:, i, None]
            known[i] = dual_norm(self.kernel - column, self.node.norm, axis=0)
        return np.stack([known[i] for i in classes.tolist()])

    @functools.cached_property
    def _differences_of_class(self):
        # Filled as batches ask for classes, and kept for the ones that follow: the head of a model
        # is the same for all of them.
        return {}

    def followed_by(self, later):
        r"""The same head before layers that round the logits, or multiply all by one number.

        For $c > 0$ the order of $c f_i$ is that of $f_i$, so the margins stay those of the logits:
        a product that is computed as $c f_i (1 + \delta) + \eta$ is $c$ times
        $f_i (1 + \delta) + \eta / c$, one more rounding with a smallest number over $c$, and it
        overflows where the logit passes the largest number over $c$. For $c < 0$ the order is that
        of $-f_i$.

        Args:
            later: `Later` of each layer, the first one first.
        """
        head = self
        for step in later:
            head = head._before(step)
        return head

    def _before(self, step):
        scale, machine = self.scale * abs(step.factor), step.format
        rounds = step.factor != 1.0 or self.scale != 1.0
        # A cast to a type that holds all that this one does is exact.
        cast = machine.roundoff > self.roundoff or machine.smallest > self.smallest
        return dataclasses.replace(
            self,
            kernel=-self.kernel if step.factor < 0.0 else self.kernel,
            bias=-self.bias if step.factor < 0.0 else self.bias,
            roundings=self.roundings + (_OF_A_PRODUCT if rounds else int(cast)),
            roundoff=max(self.roundoff, machine.roundoff),
            smallest=max(self.smallest, machine.smallest / min(1.0, scale)),
            largest=min(self.largest, machine.largest / max(1.0, scale)),
            scale=scale,
        )


class Later(NamedTuple):
    """What comes after the last linear layer: a factor of all logits, and the type it is in."""

    factor: float
    format: FloatFormat


def find_head(model, inputs, squasher=None, scaled=False):
    """Takes a classifier apart at its last linear layer, or raises an error that says why not.

    Any last layer will do, though a linear one proves most: of any other the constant `L` of all
    outputs together is known, and a margin shrinks by `sqrt(2) L r` at most in l2, by `2 L r` in
    l-infinity. A factor that all logits share, and what does nothing to them, may come after it.

    Args:
        model: A model with a graph, one input and one output.
        inputs: A `Node` for its input, in a list.
        squasher: The layer after the model that is a softmax or a sigmoid, if any.
        scaled: Whether the outputs of the model are multiplied by a factor.

    Returns:
        `Head`.
    """
    core = graph_of(model)
    if len(core.inputs) != 1 or len(core.outputs) != 1:
        raise checks.refused(
            "model",
            "one input and one output",
            f"{len(core.inputs)} inputs and {len(core.outputs)} outputs",
        )
    nodes = walk(core, inputs)
    tensor, later = core.outputs[0], []
    while True:
        step = producer(tensor)
        operation = step.operation
        before = step.inputs[0] if len(step.inputs) == 1 else None
        if isinstance(operation, keras.Model) and before is not None:
            entered = enter(operation, [nodes[id(before)]])[1]
            head = find_head(operation, entered, squasher, scaled)
            features = [keras.Model(core.inputs[0], before), *head.features]
            return dataclasses.replace(head, features=features).followed_by(later)
        if is_dense(operation) and not _bends(operation, scaled):
            head = _head_at(operation, core, before, nodes[id(before)], squasher)
            return head.followed_by(later)
        factor = None if before is None else uniform_factor(step)
        found = None if before is None else _kept_order(step, factor, nodes[id(tensor)], scaled)
        if found is None:
            _check_signed(operation, tensor)
            return _head_of_logits(core, tensor, nodes[id(tensor)], squasher).followed_by(later)
        function, after = found
        if function != "linear":
            squasher = _only_squasher(operation, function, before.shape[-1], squasher)
        scaled = scaled or factor is not None
        later.insert(0, after)
        tensor = before


def _kept_order(step, factor, node, scaled):
    """The function of a step that keeps the order of logits or turns it around, and its `Later`."""
    operation = step.operation
    dtype = keras.backend.standardize_dtype(step.outputs[0].dtype)
    if isinstance(operation, keras.layers.Layer):
        dtype = operation.compute_dtype
    machine = float_format(dtype)
    if factor is not None:
        machine = folding(machine, node.computed.folded)
        # What the type cannot hold may count as zero, or as infinite, and so may its inverse.
        held = machine.largest * min(abs(factor), 1.0 / abs(factor)) >= 1.0
        return ("linear", Later(factor, machine)) if held else None
    function = _final_function(operation)
    # A factor after a softmax or a sigmoid multiplies probabilities.
    if function is None or (scaled and function != "linear"):
        return None
    return function, Later(1.0, machine)


def _head_of_logits(core, tensor, node, squasher):
    """A head that returns the features as they are."""
    _check_rank(producer(tensor).operation, tensor, "outputs")
    machine = float_format(keras.backend.standardize_dtype(tensor.dtype))
    return Head(
        features=[keras.Model(core.inputs[0], tensor)],
        node=node,
        kernel=np.eye(tensor.shape[1]),
        bias=np.zeros(tensor.shape[1]),
        roundings=0,
        roundoff=machine.roundoff,
        smallest=machine.smallest,
        largest=machine.largest,
        squashed=squasher is not None,
    )


def _head_at(layer, core, tensor, node, squasher):
    kernel, machine = dense_kernel(layer), float_format(layer.compute_dtype)
    activation = layer.activation
    if not is_linear(activation):
        squasher = _only_squasher(layer, _squashing(activation), kernel.shape[1], squasher)
    _check_rank(layer, tensor, "inputs")
    bias = np.zeros(kernel.shape[1])
    if layer.bias is not None:
        bias = applied_weight(layer, "bias")
    return Head(
        features=[keras.Model(core.inputs[0], tensor)],
        node=after_cast(node, layer.compute_dtype),
        kernel=kernel,
        bias=bias,
        # Each logit has a sum of its own: no factor for different orders.
        roundings=layer_bound(layer, (None, len(kernel)), node.norm).roundings + 2,
        roundoff=machine.roundoff,
        smallest=machine.smallest,
        largest=machine.largest,
        squashed=squasher is not None,
    )


def _bends(layer, scaled):
    """Whether the activation of a dense layer is neither linear nor the squashing of logits."""
    return not is_linear(layer.activation) and (scaled or _squashing(layer.activation) is None)


def _check_signed(operation, tensor):
    """Raises for a single output of which nobody knows that its sign is the class."""
    if tensor.shape[-1] == 1 and not isinstance(operation, LInfDistanceDense):
        raise checks.refused(
            "model",
            "two outputs or more, or one from a last layer that is linear (a Dense layer of "
            "Keras or lipot without activation, or with a sigmoid): of another it is not known "
            "whether its sign is the class",
            f"one output of '{operation.name}' of class {type(operation).__name__}. Move what "
            "comes after the logit out of the model.",
        )


def _check_rank(layer, tensor, what):
    if len(tensor.shape) != 2:
        raise checks.refused(
            "model",
            "logits of shape (batch, classes)",
            f"last layer '{layer.name}' with {what} of shape {tensor.shape}",
        )


def _final_function(operation):
    kind = operation_kind(operation)
    over_classes = kind in ("softmax", "log_softmax") and operation.axis == -1
    if kind == "sigmoid" or over_classes:
        return kind
    if type(operation) in TRANSPARENT:
        return "linear"
    if type(operation) is keras.layers.Softmax and operation.axis == -1:
        return "softmax"
    if type(operation) is keras.layers.Activation:
        if operation.activation is keras.activations.linear:
            return "linear"
        return _squashing(operation.activation)
    return None


def _squashing(activation):
    # A callable need not be hashable.
    return next((name for known, name in _NAMES.items() if activation is known), None)


def _only_squasher(layer, function, units, later):
    """The layer itself, if it changes no order and no softmax or sigmoid comes after it."""
    if later is not None:
        # The values of the first lie in [0, 1]: a second sigmoid makes them all positive classes,
        # a second softmax rounds what differs to what does not.
        raise checks.refused(
            "model",
            "at most one softmax or sigmoid after the last linear layer",
            f"'{layer.name}', and '{later.name}' after it. Leave one of them out.",
        )
    if function == "sigmoid" and units != 1:
        raise checks.refused(
            "model",
            "logits, a softmax, or a sigmoid of a single unit: sigmoids of several units round "
            "to 1 together, and their argmax is then arbitrary",
            f"last layer '{layer.name}' with a sigmoid of {units} units. Leave the sigmoid out.",
        )
    if function in ("softmax", "log_softmax") and units == 1:
        raise checks.refused(
            "model",
            f"at least two units before a {function}",
            f"last layer '{layer.name}' with a {function} of one unit",
        )
    return layer
