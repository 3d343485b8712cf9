"""Walks a model's graph and bounds the map from its input to every tensor in it."""

import keras

from lipot.certificates.node import (
    Node,
    after_cast,
    after_choice,
    after_concatenation,
    after_layer,
    after_sum,
    input_node,
)
from lipot.certificates.operations import operation_node
from lipot.certificates.weights import check_finite
from lipot.layers.layer_bounds import layer_bound
from lipot.layers.lipschitz_residual import LipschitzResidual
from lipot.layers.transport_residual import TransportResidual
from lipot.models.adversarial_model import AdversarialModel

_SUMS = {keras.layers.Add, keras.layers.Subtract, keras.layers.Average}
_RESIDUALS = {TransportResidual, LipschitzResidual}
_CHOICES = {keras.layers.Maximum, keras.layers.Minimum}
_JOINS = {keras.layers.Concatenate}


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
    if isinstance(model, AdversarialModel) and _author(type(model), "call") is AdversarialModel:
        # Its call runs the classifier.
        model = model.classifier
    core = getattr(model, "_functional", None) if isinstance(model, keras.Sequential) else model
    if isinstance(model, keras.Sequential) and core is None:
        raise ValueError(
            "Invalid value received for argument `model`. Expected a built model: give it an "
            f"input shape or call it on data. Received: {type(model).__name__} '{model.name}', "
            "not built"
        )
    if not hasattr(core, "_nodes_by_depth") or not _is_called_as_keras_does(type(model)):
        raise ValueError(
            "Invalid value received for argument `model`. Expected a Sequential or Functional "
            f"model. Received: {type(model).__name__} '{model.name}', whose `call` is Python code "
            "that has no graph to walk. Where it only calls layers, certify "
            "keras.Model(inputs, model.call(inputs)) with inputs = keras.Input(shape)."
        )
    return core


def enter(model, nodes):
    """The graph of a model inside another one, and the nodes of its inputs.

    Keras casts what a model receives to the type of its inputs, and may change its rank.
    """
    core = graph_of(model)
    expected = [tuple(tensor.shape) for tensor in core.inputs]
    received = [node.shape for node in nodes]
    dtypes = [keras.backend.standardize_dtype(tensor.dtype) for tensor in core.inputs]
    if [len(shape) for shape in expected] != [len(shape) for shape in received]:
        raise ValueError(
            f"Model '{model.name}' cannot be certified inside another one. Expected inputs of "
            f"shapes {expected}. Received: shapes {received}"
        )
    if not all("float" in dtype for dtype in dtypes):
        raise ValueError(
            f"Model '{model.name}' cannot be certified inside another one: it rounds what it "
            f"receives to integers. Expected floating point inputs. Received: dtypes {dtypes}"
        )
    return core, [after_cast(node, dtype) for node, dtype in zip(nodes, dtypes)]


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
    if isinstance(operation, keras.layers.Layer):
        _check_call(operation, args, kwargs)
    if isinstance(operation, keras.Model):
        inner, nodes = enter(operation, nodes)
        found = walk(inner, nodes)
        return [found[id(tensor)] for tensor in inner.outputs]
    outputs = symbolic
    if nodes[0].computed is not None:
        outputs = keras.tree.flatten(_run(operation, args, kwargs))
    _check_samples(operation, nodes, outputs)
    if type(operation) in _RESIDUALS:
        # a x + b g(x)
        nodes = [after_cast(node, operation.compute_dtype) for node in nodes]
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
    if type(layer) in _CHOICES:
        return after_choice(nodes, layer.compute_dtype, output)
    if type(layer) in _JOINS and layer.axis % len(output.shape) != 0:
        return after_concatenation(nodes, layer.compute_dtype, output)
    if isinstance(layer, keras.layers.Multiply | keras.layers.Dot):
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified: a product of two tensors that depend on "
            "the input has no Lipschitz constant on all inputs."
        )
    if len(nodes) != 1:
        raise ValueError(
            f"No Lipschitz bound is known for layer '{layer.name}' of class "
            f"{type(layer).__name__} with {len(nodes)} inputs. Expected one input, or one of "
            f"{sorted(c.__name__ for c in _SUMS | _CHOICES | _JOINS)}."
        )
    return after_layer(nodes[0], layer_bound(layer, nodes[0].shape), layer, output)


def _is_called_as_keras_does(model_class):
    authors = (_author(model_class, name) for name in ("call", "__call__"))
    return all(author.__module__.startswith("keras.") for author in authors)


def _author(model_class, method):
    return next(c for c in model_class.__mro__ if method in vars(c))


def _check_call(layer, args, kwargs):
    """Raises for a layer that does not work on its input alone, or not in floating point."""
    if "float" not in layer.compute_dtype:
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified: it rounds to integers. Expected a layer "
            f"that computes in floating point. Received: dtype={layer.compute_dtype}"
        )
    named = {name: value for name, value in kwargs.items() if name != "training"}
    inputs, *others = [*args, *named.values()]
    leaves = [leaf for leaf in keras.tree.flatten(others) if not isinstance(leaf, Node)]
    if any(leaf is not None for leaf in leaves):
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified: its bound is that of a call without a mask "
            f"and other arguments. Expected its input alone. Received: {leaves}"
        )
    struct = getattr(layer, "_inputs_struct", None)
    by_name = isinstance(struct, dict) and isinstance(inputs, dict) and set(struct) == set(inputs)
    if isinstance(inputs, dict) and not by_name:
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified on inputs by name. Expected a tensor or a "
            f"list of tensors in its own order. Received: names {sorted(inputs)}"
        )


def _check_samples(operation, nodes, outputs):
    for output in outputs:
        if len(output.shape) < 1 or output.shape[0] not in (None, 1, nodes[0].shape[0]):
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
