"""Where the bound of a layer is looked up, and who may speak for it.

A bound is in l2, or in l-infinity where the statement takes an argument `norm`: no constant in one
norm is taken for one in the other.

A layer of lipot states its bound itself, in a method `bound`. Layers of Keras and of users are
registered with `register_bound`. Either way the statement is about the class that makes it: a
subclass that changes anything the statement or the computation can reach has to make its own.
"""

import dis
import functools
import inspect
import math

import keras

from lipot import checks
from lipot.backend.keras_graph import hooks_on, is_stock
from lipot.layers.base import LipschitzLayer, no_bound_in_linf
from lipot.math.rounding import LayerBound, values_in

_BOUNDS = {}
# Where methods of layers and models come from; TensorFlow decorates some of those of Keras.
_PLACES = (None, "keras", "lipot", "tensorflow")
_CALL_IT = (
    " A Lambda holds Python code: call its function on the tensor itself, as in `x = function(x)`, "
    "which puts its operations into the graph."
)
_REFUSED = {}
# What makes, stores and exports a layer. A call does not come here, and a bound neither.
_BESIDE_THE_CALL = {
    "__annotate_func__",
    "__annotations__",
    "__class_getitem__",
    "__dict__",
    "__doc__",
    "__firstlineno__",
    "__init__",
    "__init_subclass__",
    "__module__",
    "__orig_bases__",
    "__parameters__",
    "__qualname__",
    "__slots__",
    "__static_attributes__",
    "__weakref__",
    "build",
    "build_from_config",
    "condense",
    "from_config",
    "get_build_config",
    "get_config",
    "keeps_constant",
    "load_own_variables",
    "quantize",
    "save_own_variables",
    "vanilla_export",
}


def register_bound(*layer_classes):
    """Teaches the certificates a layer class.

    The decorated function receives the layer and its input shape `(None, ...)` and returns an
    upper bound of the layer's l2 Lipschitz constant at inference: a float, or a `LayerBound`
    that also says how much it rounds. For a float lipot assumes as many roundings as the layer
    has inputs. A function with a third argument `norm` is asked for the bound in either norm, `2`
    or `"inf"`; without it the layer has none in l-infinity. A subclass that overrides anything a
    call can reach is another layer and needs its own bound.

    Raises:
        ValueError: A class is that of a model, which is followed layer by layer.

    Example:

    >>> import keras, lipot
    >>> @keras.saving.register_keras_serializable(package="docs")
    ... class Halve(keras.layers.Layer):
    ...     def call(self, inputs):
    ...         return inputs / 2
    >>> @lipot.certificates.register_bound(Halve)
    ... def halve(layer, input_shape):
    ...     return 0.5
    >>> model = keras.Sequential([keras.Input((4,)), Halve(), Halve()])
    >>> round(lipot.lipschitz_constant(model), 6)
    0.25
    >>> _ = lipot.certificates.register_bound(Halve)(lambda layer, input_shape, norm: 0.5)
    >>> round(lipot.lipschitz_constant(model, norm="inf"), 6)
    0.25
    """

    def register(function):
        for layer_class in layer_classes:
            if not isinstance(layer_class, type) or issubclass(layer_class, keras.Model):
                raise checks.refused(
                    "layer_classes",
                    "layer classes; what a model computes is followed layer by layer, so that "
                    "one of its own `call` has to be a layer",
                    repr(layer_class),
                )
            _BOUNDS[layer_class] = function
        return function

    return register


def refuse(layer_class, reason):
    """Records why a layer class has no useful bound."""
    _REFUSED[layer_class] = reason


def layer_bound(layer, input_shape, norm=2):
    """Looks up the `LayerBound` of a layer, or raises an error that names it.

    Args:
        layer: A Keras layer.
        input_shape: `(None, ...)`.
        norm: `2` or `"inf"`.
    """
    check_not_refused(layer)
    for known in type(layer).__mro__:
        statement = _statement_of(known, layer)
        if statement is None:
            continue
        _check_speaks_for(layer, _author(type(layer), known))
        bound = _asked(statement, layer, input_shape, norm)
        return _checked(bound, layer, input_shape)
    advice = _CALL_IT if isinstance(layer, keras.layers.Lambda) else ""
    raise ValueError(
        f"No Lipschitz bound is known for layer '{layer.name}' of class {_full_name(layer)}. "
        "Expected a layer of lipot, a stock Keras layer with a finite constant, or one registered "
        f"with `@lipot.certificates.register_bound({type(layer).__name__})` on a function "
        f"`(layer, input_shape) -> bound`.{advice}"
    )


def check_not_refused(layer):
    """Raises for a layer of which it is known that it has no useful bound, unless it states one."""
    for known in type(layer).__mro__:
        if known in _REFUSED:
            raise ValueError(f"Layer '{layer.name}' cannot be certified. {_REFUSED[known]}")
        if _statement_of(known, layer) is not None:
            return


def is_called_as(layer_class, known):
    """Whether a class is `known` or a subclass that leaves what `known` computes alone."""
    return issubclass(layer_class, known) and not overrides(layer_class, known)


def is_ours(kind):
    """Whether a class is one of lipot."""
    return kind.__module__.partition(".")[0] == "lipot"


def overrides(layer_class, author):
    """Names beside `author` that change what it may compute, sorted.

    Every name counts that `author` has too, whether it is a method, a property or a plain value,
    and every special method: Python and Keras look those up by themselves. So does a property that
    bears the name of a value that `author` keeps on the layer.
    """
    # What is mixed in behind `author` comes before the parents of that: Python looks there first.
    others = [parent for parent in layer_class.__mro__ if parent not in author.__mro__]
    names = {name for parent in others for name in vars(parent)} - _BESIDE_THE_CALL
    special = {name for name in names if name.startswith("__") and name.endswith("__")}
    values = [(name, v) for parent in others for name, v in vars(parent).items() if name in names]
    settable = {name for name, value in values if _can_be_set(value)}
    computed = {name for name, value in values if _is_computed(value)} - settable
    # What no code of the author names is a matter of the subclass alone.
    kept = settable & _named_in(author)
    # One that cannot be set is met where `__init__` or `build` are the subclass's own.
    kept |= computed and computed & _set_in(author)
    return sorted(special | kept | {name for name in names if hasattr(author, name)})


def _can_be_set(value):
    """Whether a value of a class is asked, in place of what is set on an object of it."""
    read_only = isinstance(value, property) and value.fset is None
    return inspect.isdatadescriptor(value) and not read_only


def _is_computed(value):
    """Whether a value of a class, other than a method, is asked each time that it is read."""
    method = inspect.isfunction(value) or isinstance(value, classmethod | staticmethod)
    return hasattr(value, "__get__") and not method


@functools.cache
def _code_in(layer_class):
    """The code of a class and its parents, with that of functions inside of functions."""
    held = [value for parent in layer_class.__mro__ for value in vars(parent).values()]
    held = [value.fget if isinstance(value, property) else value for value in held]
    whole = [inspect.unwrap(value) for value in held if inspect.isfunction(value)]
    found = [value.__code__ for value in whole if inspect.isfunction(value)]
    # The list grows while it is read.
    for code in found:
        found.extend(part for part in code.co_consts if inspect.iscode(part))
    return found


@functools.cache
def _named_in(layer_class):
    """Names of attributes, arguments and all else in the code of a class and its parents."""
    found = _code_in(layer_class)
    texts = {text for code in found for text in code.co_consts if isinstance(text, str)}
    return texts.union(*(code.co_names + code.co_varnames for code in found))


@functools.cache
def _set_in(layer_class):
    """Names of attributes that the code of a class and its parents sets on an object."""
    steps = (step for code in _code_in(layer_class) for step in dis.get_instructions(code))
    return {step.argval for step in steps if step.opname == "STORE_ATTR"}


def _statement_of(known, layer):
    """What a class itself says of a layer: a function of the layer and its input shape, or `None`.

    One that knows l-infinity too has an argument `norm`.
    """
    if known in _BOUNDS:
        return _BOUNDS[known]
    if "bound" in vars(known) and hasattr(known, "lipschitz_bound"):
        return known.bound
    if "lipschitz_bound" in vars(known):
        return lambda layer, input_shape: layer.lipschitz_bound
    return None


def _asked(statement, layer, input_shape, norm):
    """The bound that a statement gives in a norm; one that knows no norms is about l2."""
    if "norm" in inspect.signature(statement).parameters:
        return statement(layer, input_shape, norm=norm)
    if norm != 2:
        raise no_bound_in_linf(layer)
    return statement(layer, input_shape)


def _author(layer_class, known):
    """The class whose computation a statement is about."""
    if known is not LipschitzLayer:
        # What is mixed in computes nothing: it speaks for the first layer that it is mixed into.
        layers = [c for c in layer_class.__mro__ if issubclass(c, keras.layers.Layer)]
        return [c for c in layers if issubclass(c, known)][-1]
    # The base class only passes on what the first `call` below it promises.
    below = layer_class.__mro__[: layer_class.__mro__.index(known)]
    return next((c for c in reversed(below) if "call" in vars(c)), known)


def check_unreplaced(layer, beside=()):
    """Raises where a method was replaced on a layer or model itself, which no class tells.

    Args:
        layer: A layer or a model.
        beside: Names that no call of it reaches, beside those of every layer.
    """
    names = [name for name in replaced(layer) if name not in beside]
    if names:
        raise ValueError(
            f"No Lipschitz bound is known for '{layer.name}' of class {_full_name(layer)}: "
            f"{', '.join(f'`{name}`' for name in names)} was replaced on the object or its class, "
            "or was used to add a hook. Expected one that computes what its class does."
        )


def replaced(layer):
    """Names that a layer, model or operation says otherwise than its class, sorted.

    These are methods, and plain values of the classes of lipot, from which they compute; methods
    of Keras's or lipot's classes that someone replaced there; and hooks of PyTorch.
    """
    # Keras itself wraps some methods that are beside the call, and sets values of its classes.
    own = {
        name
        for name in set(vars(layer)) - _BESIDE_THE_CALL
        if callable(getattr(type(layer), name, None)) or _is_value_of_ours(type(layer), name)
    }
    return sorted(own | _replaced_on_classes(type(layer)) | hooks_on(layer))


def _replaced_on_classes(layer_class):
    """Which methods that a class has from Keras or lipot are functions of someone else by now."""
    libraries = filter(_is_of_a_library, layer_class.__mro__)
    values = [item for parent in libraries for item in vars(parent).items()]
    found = {name for name, value in values if _place_of(value) not in _PLACES}
    # What someone added under a name of their own is never asked for.
    found = {name for name in found if name[:2] == "__" or name in _named_in(layer_class)}
    # PyTorch calls the last one in between.
    for name in ("call", "__call__", "forward"):
        author = next((c for c in layer_class.__mro__ if name in vars(c)), object)
        # What is no function may call any.
        if _is_of_a_library(author) and not inspect.isfunction(vars(author)[name]):
            found.add(name)
    return found - _BESIDE_THE_CALL


def _is_of_a_library(kind):
    return is_stock(kind) or is_ours(kind)


def _place_of(value):
    """The package that a method or property was written in, or `None` for anything else."""
    function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
    # The names that a function sees are those of where it was written; a wrapper copies others.
    names = getattr(function, "__globals__", None)
    return None if names is None else names.get("__name__", "").partition(".")[0]


def _is_value_of_ours(layer_class, name):
    return any(is_ours(parent) for parent in layer_class.__mro__ if name in vars(parent))


def sizes_fit(said, given):
    """Whether a shape has the sizes that another one says beside the batch, `None` for any."""
    return len(said) == len(given) and all(n in (None, m) for n, m in zip(said[1:], given[1:]))


def check_not_repeated(layer, input_shape, shape):
    """Raises where parameters of a shape would repeat an input, or give it another rank."""
    own, shape = tuple(input_shape[1:]), tuple(shape)
    beyond = shape[: max(0, len(shape) - len(own))]
    pairs = list(zip(own[::-1], shape[::-1]))
    # One axis more is that of the batch.
    if beyond not in ((), (1,)) or any(m not in (1, n) for n, m in pairs):
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified: its parameters of shape {shape} repeat the "
            "input. Expected an input like those it was built for. "
            f"Received: {tuple(input_shape)}"
        )


def _check_speaks_for(layer, author):
    changed = sorted({*replaced(layer), *overrides(type(layer), author)})
    if changed:
        raise ValueError(
            f"No Lipschitz bound is known for layer '{layer.name}' of class {_full_name(layer)}: "
            f"it overrides {', '.join(f'`{name}`' for name in changed)} of {author.__name__}, "
            "whose bound is about what that class computes. Expected a subclass that states "
            "`bound(self, input_shape)` itself, or one registered with "
            f"`@lipot.certificates.register_bound({type(layer).__name__})`."
        )


def _checked(bound, layer, input_shape):
    if not isinstance(bound, LayerBound):
        bound = LayerBound.of_constant(float(bound), values_in(input_shape))
    *numbers, constants = bound
    if not all(math.isfinite(value) and value >= 0.0 for value in (*numbers, *sum(constants, ()))):
        raise ValueError(
            f"The bound of layer '{layer.name}' is not a finite nonnegative number. "
            f"Received: {bound}"
        )
    return bound


def _full_name(layer):
    return f"{type(layer).__module__}.{type(layer).__qualname__}"
