"""The one door to what Keras keeps private: its graphs, its kinds of operations, its bookkeeping.

Keras moves these names from one version to the next. Each is used here and nowhere else in lipot,
and `tests/test_keras_graph.py` says which function fails where one has moved.
"""

import contextlib
import inspect
import sys
from typing import Any

import keras
from keras import ops

from lipot.backend.operation_kinds import FAULTS, KINDS
from lipot.backend.private import inside
from lipot.backend.step import Step


def graph_core(model: Any) -> Any:
    """The functional model that holds the graph of a Sequential or functional one, or None.

    A subclass that has a graph may still compute something else in a `call` of its own.

    Example:

    >>> model = keras.Sequential([keras.layers.Dense(2)])
    >>> graph_core(model) is None
    True
    >>> model.build((None, 3))
    >>> [tuple(tensor.shape) for tensor in graph_core(model).inputs]
    [(None, 3)]
    """
    if isinstance(model, keras.Sequential):
        return inside(model, "_functional")
    return model if isinstance(model, keras.Model) and hasattr(model, "_nodes_by_depth") else None


def is_graph(model: Any) -> bool:
    """Whether a model computes what its graph of layers says: Sequential or functional, built.

    A subclass may compute anything in a `call` of its own.
    """
    follows_graph = type(model).call.__module__.startswith("keras.")
    return follows_graph and getattr(model, "outputs", None) is not None


def functional_class() -> type:
    """The class of what `keras.Model(inputs, outputs)` makes."""
    return inside(sys.modules["keras.src.models.functional"], "Functional")


def steps(core: Any) -> list[Step]:
    """The calls in the graph of a model from `graph_core`, each after those that it depends on."""
    by_depth = inside(core, "_nodes_by_depth")
    nodes = [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]
    return [_step(node) for node in nodes if not inside(node, "is_input")]


def producer(tensor: Any) -> Step:
    """The call that made a symbolic tensor; one without inputs for an input of a model."""
    operation, index, _ = inside(tensor, "_keras_history")
    return _step(inside(operation, "_inbound_nodes")[index])


def _step(node):
    arguments = inside(node, "arguments")
    args, kwargs = (inside(arguments, name) for name in ("args", "kwargs"))
    return Step(inside(node, "operation"), args, kwargs, tuple(inside(node, "outputs")))


def inputs_by_name(model: Any) -> frozenset | None:
    """The names under which a functional model takes its inputs, or None where it takes a list.

    Example:

    >>> a, b = keras.Input((1,)), keras.Input((1,))
    >>> sorted(inputs_by_name(keras.Model({"left": a, "right": b}, a + b)))
    ['left', 'right']
    """
    core = graph_core(model)
    structure = None if core is None else core.input
    return frozenset(structure) if isinstance(structure, dict) else None


def is_stock(part: Any) -> bool:
    """Whether a layer, operation, function or class comes from Keras itself."""
    return str(getattr(part, "__module__", "")).partition(".")[0] == "keras"


def operation_kind(operation: Any) -> str | None:
    """What an operation of `keras.ops` does, one of a few words, or None for anything else.

    Someone else's operation may bear the name of one of Keras: it has no kind, nor has a layer.

    Example:

    >>> x = keras.Input((2,))
    >>> [operation_kind(producer(t).operation) for t in (x + 1.0, x / 2.0, x[:, 0], x**2)]
    ['sum', 'quotient', 'slice', None]
    """
    if isinstance(operation, keras.layers.Layer) or not is_stock(operation):
        return None
    return KINDS.get(type(operation).__name__)


def fault_of(operation: Any) -> str | None:
    """Why an operation of `keras.ops` has no Lipschitz constant, in a word, or `None`.

    Example:

    >>> x = keras.Input((2,))
    >>> [fault_of(producer(t).operation) for t in (x**2, ops.sqrt(x), x + 1.0)]
    ['steep', 'vertical', None]
    """
    if isinstance(operation, keras.layers.Layer) or not is_stock(operation):
        return None
    name = type(operation).__name__
    return next((fault for fault, names in FAULTS.items() if name in names), None)


def set_argument(operation: Any, name: str, value: Any) -> None:
    """Changes an argument of an operation, also where Keras reads it from to store the graph."""
    setattr(operation, name, value)
    stored = inside(operation, "_auto_config")
    if stored is not None:
        stored.config[name] = value


def copy_arguments(operation: Any) -> None:
    """Copies the variables and tensors with which a recorded operation was called.

    It would go on to read a variable, which JAX and PyTorch cannot store besides; on PyTorch a
    tensor may be the memory of one.
    """

    def copied(leaf):
        held = isinstance(leaf, keras.Variable) or ops.is_tensor(leaf)
        return ops.stop_gradient(ops.copy(leaf)) if held else leaf

    for node in inside(operation, "_inbound_nodes"):
        arguments = inside(node, "arguments")
        for name in ("args", "kwargs"):
            setattr(arguments, name, keras.tree.map_structure(copied, inside(arguments, name)))


def concatenation_axis(operation: Any) -> int:
    """The axis that a concatenation of `keras.ops` joins along."""
    return inside(operation, "axis")


def mask_of(tensor: Any) -> Any:
    """The mask that Keras hands to layers beside a tensor, symbolic or not, or `None`.

    Arrays of JAX hold no attributes: there Keras keeps masks in a place of its own.

    Example:

    >>> rows = keras.layers.Masking()(ops.array([[0.0, 0.0], [0.0, 1.0]]))
    >>> [bool(kept) for kept in mask_of(rows)]
    [False, True]
    """
    return inside(sys.modules["keras.src.backend"], "get_keras_mask")(tensor)


def with_mask_of(source: Any, tensor: Any) -> Any:
    """Hangs the mask of one tensor on another, which a computation has left without."""
    inside(sys.modules["keras.src.backend"], "set_keras_mask")(tensor, mask_of(source))
    return tensor


def is_cast_in_calls(weight: Any) -> bool:
    """Whether Keras casts a weight where the layer that it belongs to computes in another type.

    Example:

    >>> variable = keras.Variable([1.0], autocast=False)
    >>> is_cast_in_calls(variable), is_cast_in_calls(keras.Variable([1.0]))
    (False, True)
    """
    return isinstance(weight, keras.Variable) and inside(weight, "_autocast")


def all_layers(layer: Any) -> list:
    """A layer or model and all the layers inside it, whatever holds them."""
    return list(inside(layer, "_flatten_layers")())


def hooks_on(layer: Any) -> set:
    """By which methods of PyTorch someone hung functions on a layer that its calls run too.

    They may change what it is given, and what it gives. Only there are layers modules that have
    them; some hang on all modules.

    Example:

    >>> hooks_on(keras.layers.ReLU())
    set()
    """
    modules = sys.modules.get("torch.nn.modules.module")
    if modules is None or not isinstance(layer, modules.Module):
        return set()
    return {
        f"register_{kind}_hook"
        for kind in ("forward", "forward_pre")
        if inside(layer, f"_{kind}_hooks") or inside(modules, f"_global_{kind}_hooks")
    }


def forget_programs(model: Any) -> None:
    """Has `predict` and `evaluate` traced anew: what is no weight may have changed since.

    A model or layer that compiles programs of its own gives them up in `forget_own_programs`.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Rescaling(1.0)])
    >>> ones = keras.ops.convert_to_numpy(keras.ops.ones((1, 2)))
    >>> _ = model.predict(ones, verbose=0)
    >>> model.layers[0].scale = 2.0
    >>> forget_programs(model)
    >>> model.predict(ones, verbose=0)
    array([[2., 2.]], dtype=float32)
    """
    for part in all_layers(model):
        if isinstance(part, keras.Model):
            part.predict_function = part.test_function = None
        if hasattr(part, "forget_own_programs"):
            part.forget_own_programs()


def random_states(model: Any) -> list:
    """The state of every seed generator inside a layer or model, from which it draws.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5)])
    >>> [tuple(state.shape) for state in random_states(model)]
    [(2,)]
    """
    return [variable for variable in model.variables if variable.name == "seed_generator_state"]


def takes_training(layer: Any) -> bool:
    """Whether the `call` of a layer has an argument `training`."""
    return "training" in inspect.signature(layer.call).parameters


def trains_by_default(layer: Any) -> bool:
    """Whether a layer trains where nobody says otherwise: in `model(x)`, in an exported model.

    Example:

    >>> trains_by_default(keras.layers.RandomFlip()), trains_by_default(keras.layers.Dropout(0.5))
    (True, False)
    """
    argument = inspect.signature(layer.call).parameters.get("training")
    return argument is not None and argument.default not in (None, False, inspect.Parameter.empty)


@contextlib.contextmanager
def replacing_weights(layer: Any):
    """Forgets the weights of a built layer and, inside the `with`, lets it add new ones."""
    tracker = inside(layer, "_tracker")
    tracker.unlock()
    for variable in layer.weights:
        inside(layer, "_untrack_variable")(variable)
    try:
        yield
    finally:
        tracker.lock()


@contextlib.contextmanager
def added_losses_put_back():
    """Behind it layers hold the losses of `add_loss` that they held before it.

    It is for the layers that the running functions name, and all inside them: a loss is not told
    which model it belongs to.
    """
    layers = {id(layer): layer for held in _layers_in_frames() for layer in all_layers(held)}
    kept = [(layer, list(inside(layer, "_losses"))) for layer in layers.values()]
    yield
    for layer, losses in kept:
        layer._losses[:] = losses


def _layers_in_frames():
    """The layers among the variables that the functions which this thread is in name."""
    frame = sys._getframe()
    while frame is not None:
        shared = (frame.f_globals.get(name) for name in frame.f_code.co_names)
        named = [*frame.f_locals.values(), *shared]
        yield from (value for value in named if isinstance(value, keras.layers.Layer))
        frame = frame.f_back


class SavesComputedState:
    """Mixin: a layer whose `computed_state` TensorFlow writes into a SavedModel.

    It refuses to write a program whose variables belong to nothing. A checkpoint leaves the state
    out: it is computed from the weights again.
    """

    @property
    def computed_state(self) -> list:
        """The variables that calls read and that are no weights."""
        return []

    def _trackable_children(self, save_type="checkpoint", **kwargs):
        children = super()._trackable_children(save_type, **kwargs)
        if save_type == "savedmodel":
            state = enumerate(self.computed_state)
            children |= {f"computed_{index}": variable for index, variable in state}
        return children


def update_loss(model: Any, value: Any, samples: Any) -> None:
    """Adds the loss of a batch of some samples to the mean that a compiled model reports."""
    inside(model, "_loss_tracker").update_state(value, sample_weight=samples)


def start_at_epoch(model: Any, epoch: int | None) -> None:
    """Has the running `fit` of a model start at some epoch; called when training begins."""
    inside(model, "_initial_epoch")
    model._initial_epoch = epoch


def forget_strategy(model: Any) -> None:
    """Has a model run under the strategy in whose scope it is called, not that of its making."""
    inside(model, "_distribute_strategy")
    model._distribute_strategy = None


def index_in(optimizer: Any, variable: Any) -> int:
    """The place of a variable among those that a built optimizer updates."""
    return inside(optimizer, "_get_variable_index")(variable)


def momentum_of(adam: Any, index: int) -> Any:
    """The first moment that a built Adam keeps of the variable at a place."""
    return inside(adam, "_momentums")[index]
