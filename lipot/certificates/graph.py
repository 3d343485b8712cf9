"""Walks a model's graph and bounds the map from its input to every tensor in it."""

import keras

from lipot import checks
from lipot.backend.keras_graph import (
    Step,
    forget_programs,
    graph_core,
    operation_kind,
    steps,
)
from lipot.backend.operation_kinds import is_scaled_sum
from lipot.certificates.calls import (
    check_any_values,
    check_bias_meets_channels,
    check_call,
    check_no_mask,
    check_not_training,
    check_off_by_default,
    check_samples,
    check_samples_of,
    check_sizes,
    run,
)
from lipot.certificates.node import (
    Node,
    after_cast,
    after_choice,
    after_concatenation,
    after_layer,
    after_sum,
    input_node,
    joint_lipschitz,
)
from lipot.certificates.operations import (
    BROADCASTING,
    NO_PRODUCT,
    largest_factor,
    operation_node,
)
from lipot.certificates.sizes import (
    Sizes,
    broadcast_shape,
    check_branch,
    operands,
    repeated_without_end,
)
from lipot.certificates.weights import check_finite
from lipot.layers.layer_bounds import (
    check_not_refused,
    check_unreplaced,
    is_called_as,
    layer_bound,
)
from lipot.layers.lipschitz_residual import LipschitzResidual
from lipot.layers.model_calls import check_model, is_called_as_keras_does, leaves_the_call_alone
from lipot.layers.said_sizes import check_says, check_says_sizes
from lipot.layers.transport_residual import TransportResidual
from lipot.models.adversarial_model import AdversarialModel

_SUMS = {keras.layers.Add, keras.layers.Subtract, keras.layers.Average}
_RESIDUALS = (TransportResidual, LipschitzResidual)
_CHOICES = {keras.layers.Maximum, keras.layers.Minimum}
_JOINS = {keras.layers.Concatenate}


def lipschitz_constant(model, norm=2):
    r"""Proven upper bound of a model's Lipschitz constant at inference.

    The bounds of the layers are multiplied along the graph: branches add up at `Add`, and join
    at `Concatenate`, in l2 as the root of the sum of squares, in l-infinity as the largest. With
    several inputs or outputs the bound is that of the joint vector. Each bound is computed in
    float64 from the weights that the layer applies; an unknown layer is an error.

    Args:
        model: A built Keras model with a graph: `Sequential`, `Functional`, or a subclass of
            them that leaves `call` alone, or an `AdversarialModel` of one. Models and layers may
            be nested and shared.
        norm: `2` or `"inf"`, in which inputs and outputs are measured; `"l2"`, `"linf"` and
            `np.inf` will do.

    Returns:
        The bound, a float.

    Example:

    >>> import keras, lipot
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.ReLU()])
    >>> import numpy as np
    >>> model.layers[0].set_weights([2.0 * np.eye(4, 3), np.zeros(3)])
    >>> round(lipot.lipschitz_constant(model), 6)
    2.0
    >>> model.layers[0].set_weights([np.ones((4, 3)), np.zeros(3)])
    >>> round(lipot.lipschitz_constant(model, norm="inf"), 6)     # each output sums 4 inputs
    4.0
    """
    norm = checks.norm("norm", norm)
    core = graph_of(model)
    check_finite(model)
    forget_programs(model)
    nodes = walk(core, [input_node(tensor, norm) for tensor in core.inputs])
    outputs = [nodes[id(tensor)] for tensor in core.outputs]
    return outputs[0].lipschitz if len(outputs) == 1 else joint_lipschitz(outputs)


def graph_of(model):
    """The graph behind a model, or an error that says why it has none."""
    if not isinstance(model, keras.Model):
        raise checks.refused("model", "a Keras model", f"{model!r} of type {type(model).__name__}")
    if leaves_the_call_alone(type(model), AdversarialModel):
        # Its call runs the classifier.
        check_model(model)
        if model.autocast:
            raise checks.refused(
                "model",
                "a model that hands its inputs on as they are",
                "an AdversarialModel with autocast=True, which casts them to "
                f"{model.compute_dtype}. Certify its classifier.",
            )
        model = model.classifier
    core = graph_core(model)
    if isinstance(model, keras.Sequential) and core is None:
        raise checks.refused(
            "model",
            "a built model: give it an input shape or call it on data",
            f"{type(model).__name__} '{model.name}', not built",
        )
    if core is None or not is_called_as_keras_does(type(model)):
        raise checks.refused(
            "model",
            "a Sequential or Functional model",
            f"{type(model).__name__} '{model.name}', whose `call` is Python code that has no "
            f"graph to walk. {_with_a_graph(model)}",
        )
    # A Sequential runs a model of its own inside.
    check_model(model)
    check_model(core)
    return core


def _with_a_graph(model):
    """What to certify in the place of a model that has no graph."""
    if hasattr(model, "inference_model"):
        return "Certify model.inference_model(), which has one."
    return (
        "Where it only calls layers, certify keras.Model(inputs, model.call(inputs)) with "
        "inputs = keras.Input(shape)."
    )


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
    sizes = Sizes(core, inputs)
    # Before what a mask is computed by, which stands in the graph under names that Keras gave it.
    for step in steps(core):
        check_no_mask(step)
    for step in steps(core):
        _check_unmixed(core, step)
        results = _propagate(step, nodes, sizes)
        nodes.update((id(t), node) for t, node in zip(step.outputs, results))
    return nodes


def _check_unmixed(core, step):
    """Raises where Keras would round a variable on its way into an operation, as its scopes say."""
    leaves = keras.tree.flatten((step.args, step.kwargs))
    if not any(isinstance(leaf, keras.Variable) for leaf in leaves):
        return
    for policy in (core.dtype_policy, keras.config.dtype_policy()):
        if policy.compute_dtype != policy.variable_dtype:
            raise ValueError(
                f"'{step.operation.name}' cannot be certified: it reads a variable in a graph of "
                f"mixed precision. Expected it in a layer. Received: dtype policy {policy.name}"
            )


def _propagate(step, known, sizes):
    """Nodes of what a step gives, from those of what it receives."""
    operation, (args, kwargs) = step.operation, step.arguments(known)
    nodes = [leaf for leaf in keras.tree.flatten((args, kwargs)) if isinstance(leaf, Node)]
    _check_operation(step, args, kwargs)
    if isinstance(operation, keras.Model):
        return _through_model(operation, nodes)
    check_samples(step)
    outputs = _outputs(step, args, kwargs, nodes)
    check_samples_of(step, nodes, outputs)
    check_any_values(step, outputs)
    if any(is_called_as(type(operation), residual) for residual in _RESIDUALS):
        return [_residual_node(step, nodes, sizes, outputs[0])]
    if is_called_as(type(operation), keras.layers.SpectralNormalization):
        return _through_wrapper(step, nodes, sizes)
    if _broadcasts(operation):
        values = operands(operation, args, kwargs)
        _check_average(operation, values, nodes)
        outputs = _broadcast(step, values, nodes, sizes, outputs)
    found = _bounded(operation, args, kwargs, nodes, outputs)
    if nodes[0].computed is not None:
        check_bias_meets_channels(step, outputs)
        check_sizes(step, nodes, outputs)
        check_says(step, [node.shape for node in nodes], outputs)
    return found


def _check_operation(step, args, kwargs):
    """Raises where a bound would not be about what the step calls."""
    operation = step.operation
    if not isinstance(operation, keras.Model):
        check_unreplaced(operation)
    if isinstance(operation, keras.layers.Layer):
        check_call(step, args, kwargs)
        check_not_training(operation, kwargs.get("training"))


def _through_model(model, nodes):
    """Nodes of what a model inside another one gives."""
    inner, nodes = enter(model, nodes)
    found = walk(inner, nodes)
    return [found[id(tensor)] for tensor in inner.outputs]


def _bounded(operation, args, kwargs, nodes, outputs):
    """Nodes of the outputs of a layer or of an operation of `keras.ops`."""
    if not isinstance(operation, keras.layers.Layer):
        return [operation_node(operation, args, kwargs, nodes, output) for output in outputs]
    # Keras writes `training` into the graph, as it was given or as it is by default.
    if kwargs.get("training") is not False:
        check_off_by_default(operation, nodes[0])
    return [_layer_node(operation, nodes, output) for output in outputs]


def _check_average(layer, averaged, nodes):
    """Raises where constants are averaged too: their sum may overflow before it is divided."""
    if type(layer) is keras.layers.Average and len(averaged) != len(nodes):
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified: it averages {len(averaged) - len(nodes)} "
            "constants. Expected tensors that depend on the input. Add constants with a bias."
        )


def _outputs(step, args, kwargs, nodes):
    """What a step gives: tensors at the input zero, or symbolic ones of the shapes of this walk.

    A graph inside another one was built for inputs of its own sizes.
    """
    if nodes[0].computed is not None:
        return keras.tree.flatten(run(step.operation, args, kwargs))
    check_says_sizes(step, [node.shape for node in nodes])
    same = [tuple(t.shape) == node.shape for t, node in zip(step.inputs, nodes)]
    found = step.outputs_for([node.shape for node in nodes])
    if not step.outputs:
        return found
    # An argument of a layer may have been changed since the graph was made.
    check_sizes(step, nodes, found)
    return step.outputs if all(same) else found


def _broadcast(step, values, nodes, sizes, outputs):
    """The one output of a sum, product or choice, with the shape that its operands say."""
    shape = broadcast_shape(step.operation, step, values, sizes)
    if nodes[0].computed is not None:
        return outputs
    return [keras.KerasTensor(shape, outputs[0].dtype)]


def _residual_node(step, nodes, sizes, output):
    """Node of `a x + b g(x)`, by a walk through the branch g from the nodes of x."""
    layer = step.operation
    check_branch(layer, nodes[0])
    nodes = [after_cast(node, layer.compute_dtype) for node in nodes]
    branch = _held(layer.branch, step, nodes, sizes)
    if [node.shape[1:] for node in branch] != [nodes[0].shape[1:]]:
        raise repeated_without_end(layer, [nodes[0].shape, *(node.shape for node in branch)])
    return after_sum([*nodes, *branch], layer.factors, layer.compute_dtype, output)


def _through_wrapper(step, nodes, sizes):
    """Nodes of the layer inside one that changes its kernel in training alone."""
    layer = step.operation
    nodes = [after_cast(node, layer.compute_dtype) for node in nodes]
    inner = _held(layer.layer, step, nodes, sizes)
    return [after_cast(node, layer.compute_dtype) for node in inner]


def _held(operation, step, nodes, sizes):
    """Nodes of what a layer inside that of a step gives, from those of what it receives."""
    known = {id(t): node for t, node in zip(step.inputs, nodes)}
    return _propagate(Step(operation, step.inputs, {}), known, sizes)


def _layer_node(layer, nodes, output):
    if type(layer) in _SUMS or (is_scaled_sum(layer) and len(nodes) == 2):
        return after_sum(nodes, _factors(layer, len(nodes)), layer.compute_dtype, output)
    if type(layer) in _CHOICES:
        return after_choice(nodes, layer.compute_dtype, output)
    if type(layer) in _JOINS:
        if layer.axis % len(output.shape) == 0:
            raise ValueError(
                f"Layer '{layer.name}' cannot be certified: it joins the samples of a batch. "
                f"Expected an axis other than 0. Received: axis={layer.axis}"
            )
        return after_concatenation(nodes, layer.compute_dtype, output)
    if isinstance(layer, keras.layers.Multiply | keras.layers.Dot):
        raise ValueError(f"Layer '{layer.name}' cannot be certified: {NO_PRODUCT}")
    if len(nodes) != 1:
        check_not_refused(layer)
        raise ValueError(
            f"No Lipschitz bound is known for layer '{layer.name}' of class "
            f"{type(layer).__name__} with {len(nodes)} inputs. Expected one input, or one of "
            f"{sorted(c.__name__ for c in _SUMS | _CHOICES | _JOINS)}."
        )
    bound = layer_bound(layer, nodes[0].shape, nodes[0].norm)
    return after_layer(nodes[0], bound, layer, output)


def _broadcasts(operation):
    """Whether what a step calls repeats the smaller of its operands."""
    merges = type(operation) in _SUMS | _CHOICES or is_scaled_sum(operation)
    return merges or operation_kind(operation) in BROADCASTING


def _factors(layer, count):
    """Factor of each of some inputs in a sum."""
    if is_scaled_sum(layer):
        return [1.0, largest_factor(layer, layer.scale, layer.compute_dtype)]
    return [1.0 / count if isinstance(layer, keras.layers.Average) else 1.0] * count
