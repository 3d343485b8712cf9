"""Walks a model's graph and bounds the map from its input to every tensor in it."""

import keras

from lipot.certify.bounds import layer_bound
from lipot.certify.node import Node, after_choice, after_layer, after_sum, input_node
from lipot.certify.operations import operation_node
from lipot.certify.weights import check_finite
from lipot.layers.lipschitz_residual import LipschitzResidual
from lipot.layers.transport_residual import TransportResidual
from lipot.models.adversarial_model import AdversarialModel

_SUMS = {keras.layers.Add, keras.layers.Subtract, keras.layers.Average}
_RESIDUALS = {TransportResidual, LipschitzResidual}
_CHOICES = {keras.layers.Concatenate, keras.layers.Maximum, keras.layers.Minimum}


def lipschitz_constant(model):
    r"""Proven upper bound of a model's l2 Lipschitz constant at inference.

    The bounds of the layers are multiplied along the graph: branches add up at `Add`, and join
    as the root of the sum of squares at `Concatenate`. With several inputs or outputs the bound is
    that of the joint vector. Each bound is computed in float64 from the weights that the layer
    applies; an unknown layer is an error.

    Args:
        model: A built Keras model with a graph: `Sequential`, `Functional`, or a subclass of
            them that leaves `call` alone, or an `AdversarialModel` of one. Models and layers may
            be nested and shared.

    Returns:
        The bound, a float.

    Example:

    >>> import keras, lipot
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.ReLU()])
    >>> import numpy as np
    >>> model.layers[0].set_weights([2.0 * np.eye(4, 3), np.zeros(3)])
    >>> round(lipot.lipschitz_constant(model), 6)
    2.0
    """
    core = graph_of(model)
    check_finite(model)
    nodes = walk(core, [input_node(tensor) for tensor in core.inputs])
    outputs = [nodes[id(tensor)] for tensor in core.outputs]
    return outputs[0].lipschitz if len(outputs) == 1 else _joint(outputs)


def graph_of(model):
    """The graph behind a model, or an error that says why it has none."""
    if not isinstance(model, keras.Model):
        raise ValueError(
            "Invalid value received for argument `model`. Expected a Keras model. "
            f"Received: {model!r} of type {type(model).__name__}"
        )
    if isinstance(model, AdversarialModel):
        # Its call runs the classifier.
        model = model.classifier
    core = getattr(model, "_functional", None) if isinstance(model, keras.Sequential) else model
    if isinstance(model, keras.Sequential) and core is None:
        raise ValueError(
            "Invalid value received for argument `model`. Expected a built model: give it an "
            f"input shape or call it on data. Received: {type(model).__name__} '{model.name}', "
            "not built"
        )
    caller = next(c for c in type(model).__mro__ if "call" in vars(c))
    if not hasattr(core, "_nodes_by_depth") or not caller.__module__.startswith("keras."):
        raise ValueError(
            "Invalid value received for argument `model`. Expected a Sequential or Functional "
            f"model. Received: {type(model).__name__} '{model.name}', whose `call` is Python code "
            "that has no graph to walk. Where it only calls layers, certify "
            "keras.Model(inputs, model.call(inputs)) with inputs = keras.Input(shape)."
        )
    return core


def walk(core, inputs):
    """Propagates nodes through a graph.

    Args:
        core: A model from `graph_of`.
        inputs: A `Node` for each of its inputs.

    Returns:
        Dictionary from `id(symbolic tensor)` to `Node`, for every tensor of this graph.
    """
    nodes = {id(tensor): node for tensor, node in zip(core.inputs, inputs)}
    for depth in sorted(core._nodes_by_depth, reverse=True):
        for step in core._nodes_by_depth[depth]:
            if step.is_input:
                continue
            args, kwargs = step.arguments.fill_in(nodes)
            results = _propagate(step.operation, args, kwargs, step.outputs)
            nodes.update((id(t), node) for t, node in zip(step.outputs, results))
    return nodes


def _propagate(operation, args, kwargs, symbolic):
    nodes = [a for a in keras.tree.flatten((args, kwargs)) if isinstance(a, Node)]
    if isinstance(operation, keras.Model):
        inner = graph_of(operation)
        found = walk(inner, nodes)
        return [found[id(tensor)] for tensor in inner.outputs]
    outputs = symbolic
    if nodes[0].computed is not None:
        outputs = keras.tree.flatten(_run(operation, args, kwargs))
    _check_samples(operation, outputs)
    if type(operation) in _RESIDUALS:
        # a x + b g(x)
        branch = _propagate(operation.branch, nodes, {}, symbolic)
        terms = [*nodes, *branch]
        return [after_sum(terms, operation.factors, operation.compute_dtype, outputs[0])]
    if isinstance(operation, keras.layers.Layer):
        return [_layer_node(operation, nodes, output) for output in outputs]
    return [operation_node(operation, args, kwargs, nodes, output) for output in outputs]


def _layer_node(layer, nodes, output):
    if type(layer) in _SUMS:
        factor = 1.0 / len(nodes) if isinstance(layer, keras.layers.Average) else 1.0
        return after_sum(nodes, [factor] * len(nodes), layer.compute_dtype, output)
    if type(layer) in _CHOICES and getattr(layer, "axis", -1) % len(output.shape) != 0:
        return after_choice(nodes, layer.compute_dtype, output)
    if isinstance(layer, keras.layers.Multiply | keras.layers.Dot):
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified: a product of two tensors that depend on "
            "the input has no Lipschitz constant on all inputs."
        )
    if len(nodes) != 1:
        raise ValueError(
            f"No Lipschitz bound is known for layer '{layer.name}' of class "
            f"{type(layer).__name__} with {len(nodes)} inputs. Expected one input, or one of "
            f"{sorted(c.__name__ for c in _SUMS | _CHOICES)}."
        )
    return after_layer(nodes[0], layer_bound(layer, nodes[0].shape), layer, output)


def _check_samples(operation, outputs):
    for output in outputs:
        if len(output.shape) < 1 or output.shape[0] not in (None, 1):
            raise ValueError(
                f"'{operation.name}' cannot be certified: it joins or drops samples of a batch. "
                f"Expected the batch on axis 0. Received: output shape {tuple(output.shape)}"
            )


def _run(operation, args, kwargs):
    def value(leaf):
        return leaf.computed.zero if isinstance(leaf, Node) else leaf

    args, kwargs = keras.tree.map_structure(value, (args, kwargs))
    if getattr(operation, "_call_has_training_arg", False):
        kwargs = {**kwargs, "training": False}
    return operation(*args, **kwargs)


def _joint(outputs):
    return sum(node.lipschitz**2 for node in outputs) ** 0.5 * (1.0 + 1e-12)
