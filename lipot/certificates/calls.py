"""What a layer and its call in a graph must be, so that bounds are about them."""

import keras

from lipot.backend.added_biases import adds_bias_elsewhere
from lipot.backend.keras_graph import (
    all_layers,
    inputs_by_name,
    mask_of,
    takes_training,
    trains_by_default,
)
from lipot.certificates.node import Node
from lipot.certificates.stock.augmentation import acts_in_calls
from lipot.certificates.weights import check_weights_are_cast
from lipot.layers.layer_bounds import layer_bound, sizes_fit

_SAME_IN_TRAINING = (keras.layers.Resizing, keras.layers.CenterCrop)


def run(operation, args, kwargs):
    """What an operation gives at inference; a node stands for its value at the input zero."""

    def value(leaf):
        return leaf.computed.zero if isinstance(leaf, Node) else leaf

    args, kwargs = keras.tree.map_structure(value, (args, kwargs))
    if isinstance(operation, keras.layers.Layer) and takes_training(operation):
        kwargs = {**kwargs, "training": False}
    return operation(*args, **kwargs)


def check_call(step, args, kwargs):
    """Raises for a layer that does not work on its input alone, or not in floating point."""
    layer = step.operation
    if "float" not in layer.compute_dtype:
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified: it rounds to integers. Expected a layer "
            f"that computes in floating point. Received: dtype={layer.compute_dtype}"
        )
    received = {keras.backend.standardize_dtype(tensor.dtype) for tensor in step.inputs}
    if not layer.autocast and received != {layer.compute_dtype}:
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified: it does not cast its inputs, and may "
            f"compute in another type than its own. Expected autocast=True, or inputs in "
            f"{layer.compute_dtype}. Received: inputs in {sorted(received)}"
        )
    check_weights_are_cast(layer)
    named = {name: value for name, value in kwargs.items() if name != "training"}
    inputs, *others = [*args, *named.values()]
    leaves = [leaf for leaf in keras.tree.flatten(others) if not isinstance(leaf, Node)]
    if any(leaf is not None for leaf in leaves):
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified: its bound is that of a call without a mask "
            f"and other arguments. Expected its input alone. Received: {leaves}"
        )
    if isinstance(inputs, dict) and inputs_by_name(layer) != frozenset(inputs):
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified on inputs by name. Expected a tensor or a "
            f"list of tensors in its own order. Received: names {sorted(inputs)}"
        )


def check_no_mask(step):
    """Raises for a step that makes or passes on a mask.

    It hangs on the tensor, reaches whatever is called on that, inside layers and models too, and
    appears in no argument there. What masks values jumps where the mask does.
    """
    if any(mask_of(output) is not None for output in step.outputs):
        raise ValueError(
            f"'{step.operation.name}' of class {type(step.operation).__name__} cannot be "
            "certified: what it gives has a Keras mask, which later layers see beside their input. "
            "Bounds are those of calls without a mask. Leave layers such as `Masking`, "
            "`compute_mask` and `mask_zero` out, or mask the inputs before the model."
        )


def check_bias_meets_channels(step, outputs):
    """Raises where Keras may add a bias along the columns of images in place of the channels.

    On TensorFlow `ops.add` takes it for one of the last axis where that is as long, and programs
    in which TensorFlow makes one operation of a convolution and its bias do not.

    Args:
        step: A `Step`.
        outputs: What it gave.
    """
    if not isinstance(step.operation, keras.layers.Layer):
        return
    for layer in all_layers(step.operation):
        if adds_bias_elsewhere(layer, outputs[0].shape[-1]):
            raise ValueError(
                f"Layer '{layer.name}' cannot be certified: with the channels first Keras on "
                "TensorFlow adds its bias along the columns of images that are as many as the "
                "filters, and in some programs along the channels. Expected use_bias=False, the "
                "channels last, or images of another width. "
                f"Received: outputs of shape {tuple(outputs[0].shape)}"
            )


def check_not_training(layer, training):
    """Raises for a call with `training`, which a call of the model keeps and `predict` does not."""
    given = training is not None and not trains_by_default(layer)
    if not given or not (isinstance(training, Node) or bool(training)):
        return
    raise ValueError(
        f"Layer '{layer.name}' cannot be certified: the graph calls it with training={training}, "
        "and so does `model(x)` and an exported model, while `predict` does not. Expected a call "
        "without `training`: leave the argument out, or certify and serve the model that does, "
        "`lipot.interop.without_augmentation(model)`, which `lipot.to_keras` exports too."
    )


def check_off_by_default(layer, node):
    """Raises for a layer that acts as in training wherever nobody says that it should not."""
    for part in all_layers(layer):
        # Preprocessing that does the same in training.
        if trains_by_default(part) and type(part) not in _SAME_IN_TRAINING:
            # There may be more against it: that it acts at inference too.
            layer_bound(layer, node.shape, node.norm)
            raise acts_in_calls(part)


def check_samples(step):
    """Raises where the graph says that a step moves the batch from the first axis.

    Run on a single sample nothing shows it: an axis of one value may be any.
    """
    batches = {tensor.shape[0] for tensor in step.inputs if len(tensor.shape)}
    for output in step.outputs:
        if len(output.shape) < 1 or {output.shape[0]} != batches:
            raise _joins_samples(step, output)


def check_samples_of(step, nodes, outputs):
    """Raises where what a step gives, symbolic or not, has no batch on its first axis."""
    for output in outputs:
        if len(output.shape) < 1 or output.shape[0] not in (None, 1, nodes[0].shape[0]):
            raise _joins_samples(step, output)


def check_any_values(step, outputs):
    """Raises where nothing is left of a sample, as behind a slice past the end of its axis."""
    if any(0 in output.shape for output in outputs):
        raise ValueError(
            f"'{step.operation.name}' cannot be certified: it gives no values at all. Expected an "
            f"output with at least one. Received: shapes {[tuple(t.shape) for t in outputs]}"
        )


def check_sizes(step, nodes, outputs):
    """Raises where a step gives other sizes than the graph says: it repeats or drops values."""
    pairs = [*zip(step.inputs, nodes), *zip(step.outputs, outputs)]
    fits = [sizes_fit(said.shape, given.shape) for said, given in pairs]
    # Inside another graph a step may meet other sizes than it was built for.
    if all(fits[: len(nodes)]) and not all(fits):
        raise ValueError(
            f"'{step.operation.name}' cannot be certified: it gives other sizes than its graph "
            f"says. Expected {[tuple(t.shape) for t in step.outputs]}, or a model made anew where "
            "an argument of a layer was changed. "
            f"Received: {[tuple(t.shape) for t in outputs]}"
        )


def _joins_samples(step, output):
    return ValueError(
        f"'{step.operation.name}' cannot be certified: it joins or drops samples of a batch. "
        f"Expected the batch on axis 0. Received: output shape {tuple(output.shape)}"
    )
