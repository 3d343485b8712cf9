"""From a model with lipot layers to one of plain Keras layers and operations."""

import contextlib

import keras
import numpy as np
from keras import ops, tree

from lipot.backend.added_biases import constant_goes_elsewhere
from lipot.backend.keras_graph import (
    copy_arguments,
    is_graph,
    is_stock,
    operation_kind,
    set_argument,
    steps,
    takes_training,
)
from lipot.interop.augmentation import LeftOut, clone_graph
from lipot.interop.graph import check_graph, operations_between
from lipot.layers.augmentations import is_augmentation
from lipot.layers.copies import copied, says_its_export
from lipot.layers.layer_bounds import replaced


def to_keras(model):
    """Copies a model into plain Keras, with the same outputs at inference.

    The copy holds layers and operations of Keras alone: its file loads where lipot is not
    installed, with `safe_mode`. Its weights are those that the layers apply at inference. It is
    made to be served: further training would leave the constraints.

    A layer says what it becomes with a method `vanilla_export()` that returns a built stock
    layer or functional model. Any other layer becomes the `keras.ops` that its `call` runs.
    Augmentation is left out, and so is an argument `training` in the graph: `model(x)` and an
    exported copy do what `predict` does.

    Args:
        model: Built Sequential or functional model, nested ones included.

    Returns:
        An uncompiled functional `keras.Model` of the same name.

    Raises:
        ValueError: A model that is not built or not a graph of layers, or a layer that plain
            Keras cannot express, named in the message.

    Example:

    >>> import keras, lipot
    >>> model = keras.Sequential([
    ...     keras.Input((4,)), lipot.layers.SpectralDense(6), lipot.layers.GroupSort2()])
    >>> plain = to_keras(model)
    >>> [type(layer).__name__ for layer in plain.layers if layer.weights]
    ['Dense']
    >>> {type(operation).__module__.partition(".")[0] for operation in plain.operations}
    {'keras'}
    """
    check_graph(model)
    plain = clone_graph(model, _Exporter().export)
    _detach(plain)
    for operation in plain.operations:
        _check_plain(operation)
    _free_batch(plain)
    return plain


class _Exporter:
    """Exports each layer once, so that a layer shared in the model is shared in the copy."""

    def __init__(self):
        self._exported = {}

    def export(self, operation):
        """Returns what to call on the tensors of the copy instead of a layer or operation."""
        if id(operation) not in self._exported:
            # Kept beside its export, or another object could come to bear its id.
            self._exported[id(operation)] = operation, self._export_new(operation)
        return self._exported[id(operation)][1]

    def _export_new(self, operation):
        if isinstance(operation, keras.Model) and is_graph(operation):
            return clone_graph(operation, self.export)
        changed = replaced(operation)
        if changed and not isinstance(operation, keras.layers.Layer):
            raise _refusal(operation.name, operation, f"its own {', '.join(changed)}")
        if says_its_export(operation):
            return self.export(operation.vanilla_export())
        if changed or not is_stock(operation):
            return _Recorded(operation, self)
        if is_augmentation(operation):
            return LeftOut(operation)
        if isinstance(operation, keras.layers.Lambda):
            raise _refusal(operation.name, operation, "Python code, which no safe file can hold")
        if not isinstance(operation, keras.layers.Layer):
            return type(operation).from_config(operation.get_config())
        activation = getattr(operation, "activation", None)
        if activation is None or is_stock(activation):
            return _copy_layer(operation)
        return _Activated(_copy_layer(operation, activation=None), activation, self)


class _Recorded:
    """A layer, or a function of a tensor, written out as the operations that it runs."""

    def __init__(self, layer, exporter):
        self._layer = layer
        self._exporter = exporter

    def __call__(self, *args, mask=None, **kwargs):
        apart = tree.map_structure(_as_input, args)
        graph = keras.Model(tree.flatten(apart), self._run(apart, kwargs), name=self._name)
        self._check_sums(graph)
        if any(not isinstance(inner, keras.layers.InputLayer) for inner in graph.layers):
            # Layers inside the layer: they are exported in their turn.
            return clone_graph(graph, self._exporter.export)(tree.flatten(args))
        outputs = self._run(args, kwargs)
        for operation in operations_between(tree.flatten(args), tree.flatten(outputs)):
            # Names count up per process: without the prefix they could meet those of a file.
            operation.name = f"{self._name}_{operation.name}"
        return outputs

    @property
    def _name(self):
        return getattr(self._layer, "name", None) or self._layer.__name__

    def _check_sums(self, graph):
        """Raises for a sum that `ops.add` would take otherwise than the layer itself."""
        for step in steps(graph):
            first, *others = (*step.args, *step.kwargs.values())
            constant = others and not isinstance(others[0], keras.KerasTensor)
            if operation_kind(step.operation) == "sum" and constant:
                rank = len(first.shape)
                shape = (1,) * (rank - np.ndim(others[0])) + np.shape(others[0])
                if constant_goes_elsewhere(first.shape, shape):
                    raise _refusal(
                        self._name,
                        self._layer,
                        f"a sum of a tensor {tuple(first.shape)} with a constant {shape}, which "
                        "TensorFlow takes for a bias of another axis: subtract its negative",
                    )

    def _run(self, args, kwargs):
        try:
            return self._outputs(args, kwargs)
        except Exception as error:
            raise _refusal(self._name, self._layer, f"a layer that raised: {error}") from error

    def _outputs(self, args, kwargs):
        if not isinstance(self._layer, keras.layers.Layer):
            return self._layer(*args)
        dtype = self._layer.compute_dtype
        args = tree.map_structure(lambda tensor: _cast(tensor, dtype), args)
        if takes_training(self._layer):
            kwargs = {**kwargs, "training": False}
        with _no_losses(self._layer):
            outputs = self._layer.call(*args, **kwargs)
        given = {id(tensor) for tensor in tree.flatten(args)}
        return tree.map_structure(lambda t: _passed(t, given, dtype), outputs)


class _Activated:
    """A stock layer followed by an activation that is not from Keras."""

    def __init__(self, layer, activation, exporter):
        self._layer = layer
        self._activation = exporter.export(activation)

    def __call__(self, *args, **kwargs):
        return self._activation(self._layer(*args, **kwargs))


@contextlib.contextmanager
def _no_losses(layer):
    # A loss that a layer adds belongs to training, and Keras refuses one of symbolic tensors.
    layer.__dict__["add_loss"] = lambda loss: None
    try:
        yield
    finally:
        del layer.__dict__["add_loss"]


def _copy_layer(layer, **changes):
    moot = [key for key, value in layer.get_config().items() if _is_moot(key, value)]
    return copied(layer, moot, **changes)


def _is_moot(key, value):
    # What only training reads may come from lipot; inference does without it.
    training_only = key.endswith(("_initializer", "_regularizer", "_constraint"))
    return training_only and bool(_foreign_names(value))


def _cast(tensor, dtype):
    if not keras.backend.is_float_dtype(tensor.dtype) or tensor.dtype == dtype:
        return tensor
    return ops.cast(tensor, dtype)


def _passed(tensor, given, dtype):
    # A graph cannot give back its input as it is, in every version of Keras.
    return keras.layers.Identity()(tensor) if id(tensor) in given else _cast(tensor, dtype)


def _as_input(tensor):
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype)


def _detach(model):
    """Lets no operation go on to read the weights of what it was copied from."""
    for operation in model.operations:
        if isinstance(operation, keras.Model) and is_graph(operation):
            _detach(operation)
        elif not isinstance(operation, keras.layers.Layer):
            copy_arguments(operation)


def _check_plain(operation):
    foreign = _foreign_names(keras.saving.serialize_keras_object(operation))
    if foreign:
        names = ", ".join(sorted(foreign))
        raise _refusal(operation.name, operation, f"a layer that needs {names}")


def _free_batch(model):
    """Writes -1 where an operation was recorded with the size of a batch, which is None then."""
    for operation in model.operations:
        if isinstance(operation, keras.Model) and is_graph(operation):
            _free_batch(operation)
        sizes = getattr(operation, "newshape", None)
        if isinstance(sizes, tuple | list) and None in sizes:
            sizes = tuple(-1 if size is None else size for size in sizes)
            if sizes.count(-1) > 1:
                raise _refusal(operation.name, operation, f"a reshaping to {sizes}")
            set_argument(operation, "newshape", sizes)


def _refusal(name, layer, reason):
    return ValueError(
        f"Layer '{name}' ({type(layer).__name__}) cannot be written out in plain Keras. Expected "
        "a layer whose `call` runs keras.ops and Keras layers on its inputs, or one with a method "
        "`vanilla_export()` that returns a built stock layer or functional model. Received: "
        f"{reason}"
    )


def _foreign_names(config):
    """Names of the objects in a serialized configuration that Keras alone cannot rebuild."""
    if isinstance(config, list | tuple):
        return set().union(*map(_foreign_names, config))
    if not isinstance(config, dict):
        return set()
    found = set().union(*map(_foreign_names, config.values()))
    name = str(config.get("class_name", "__"))
    # Names in underscores are tensors, tuples, slices and the like, which are plain data.
    if not name.startswith("__") and not str(config.get("module")).startswith("keras"):
        found.add(str(config.get("registered_name") or config.get("config") or name))
    return found
