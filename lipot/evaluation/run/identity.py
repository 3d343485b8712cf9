"""What tells one evaluation from another: its model and its attacks, in JSON values."""

import functools
import inspect
import json
import types

import keras
import numpy as np
from keras import ops

from lipot.backend.keras_graph import all_layers
from lipot.files import digest
from lipot.models.neighbor_memory import NeighborMemory

# Where the configuration of a model names layers: Keras numbers these anew in every process.
_REFERENCES = ("keras_history", "input_layers", "output_layers")
# Packages whose code an evaluation tells by their versions; frameworks come with the backend.
_VERSIONED = ("lipot", "keras", "numpy", "art", "nevergrad", "builtins")
_FRAMEWORKS = ("tensorflow", "jax", "torch")


def model_digest(model):
    """SHA-256 of a model's weights, and of the configurations of it and all that is inside it.

    Names are left out; which layer is called on what counts by their order. Layers of the user's
    own count by the code of their classes too, and by the values that this code names.
    """
    told = "\n".join(map(_configuration, all_layers(model)))
    weights = [np.asarray(weight.numpy()) for weight in model.weights]
    return digest(np.frombuffer(told.encode(), "uint8"), *weights)


def attack_told(spec):
    """An `AttackSpec` as JSON values: what it does, and how.

    A function counts by its name, what it was compiled to, its defaults, and the numbers, texts
    and arrays that it encloses; two that differ in a value of their module are one here.
    """
    told = {"name": spec.name, "build": _function(spec.build)}
    told |= {"distance norms": list(map(str, spec.distance_norms))}
    return told | {"settings": recorded(spec.settings, _whole)}


def recorded(value, other=None):
    """A setting as JSON keeps it: numbers as they are, whatever else by its name.

    Args:
        value: The setting.
        other: Function that tells what is no number or text; `None` for the numbers of an array,
            and the name of anything else.
    """
    if isinstance(value, dict):
        return {str(name): recorded(part, other) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [recorded(part, other) for part in value]
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and other is None):
        return recorded(value.tolist(), other)
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    return (other or _name)(value)


def _whole(value):
    """Anything that JSON does not keep, by all that it holds."""
    if isinstance(value, keras.Model):
        return model_digest(value)
    return _function(value) if callable(value) else _held(value)


def _held(value):
    """A value that something holds, by what shows of it without looking inside of it."""
    if isinstance(value, keras.Variable):
        # Weights count by themselves; the state of a generator is another at each look.
        return _name(value)
    if isinstance(value, np.ndarray) or ops.is_tensor(value):
        return digest(ops.convert_to_numpy(value))
    if isinstance(value, set | frozenset):
        return sorted(map(repr, value))
    code = getattr(value, "__code__", None)
    return _name(value) if code is None else f"{_name(value)} {_code(code)}"


def _configuration(part):
    """What a layer or model is made with, as text."""
    kind = type(part).__qualname__
    try:
        config = part.get_config()
    # A layer of the user's need not tell its configuration: its own code says what it holds.
    except (NotImplementedError, TypeError, ValueError):
        config = {}
    told = f"{kind} {json.dumps(_nameless(config), sort_keys=True, default=_held)}"
    if isinstance(part, NeighborMemory) and part.files is not None:
        # Its points are no weights.
        told = f"{told} {part.files.digest}"
    functions = {k: _function(v) for k, v in vars(part).items() if _is_own_function(v)}
    return f"{told} {json.dumps(functions, sort_keys=True)} {_own(part)}".rstrip()


def _own(value):
    """The code of an object's classes, as far as no version tells it, and what that code names.

    Of a class it is its own code.
    """
    told, named = [], set()
    of_class = isinstance(value, type)
    for kind in filter(_is_own, (value if of_class else type(value)).__mro__):
        for name, member in sorted(vars(kind).items()):
            for function in _functions_of(member):
                told.append(f"{name} {_code(function.__code__)}")
                named |= _names_in(function.__code__)
            if name[:2] != "__" and isinstance(member, bool | int | float | str):
                told.append(f"{name} {member!r}")
    held = {} if of_class else getattr(value, "__dict__", {})
    # Keras numbers the names of layers anew in every process.
    kept = {k: recorded(v, _held) for k, v in held.items() if k in named and k != "name"}
    return f"{told} {json.dumps(kept, sort_keys=True)}" if told else ""


def _is_own(value):
    """Whether a class or function is from a package whose version an evaluation does not tell."""
    package = str(getattr(value, "__module__", "")).partition(".")[0]
    return package not in (*_VERSIONED, *_FRAMEWORKS)


def _is_own_function(value):
    # Keras wraps these two of every layer.
    known = getattr(value, "__name__", "") in ("build", "quantize")
    return isinstance(value, types.FunctionType) and _is_own(value) and not known


def _functions_of(member):
    """The functions behind a member of a class."""
    if isinstance(member, property):
        found = (member.fget, member.fset)
    else:
        found = (inspect.unwrap(getattr(member, "__func__", member)),)
    return [function for function in found if isinstance(function, types.FunctionType)]


def _names_in(code):
    inside = [_names_in(c) for c in code.co_consts if isinstance(c, types.CodeType)]
    return set(code.co_names).union(*inside)


def _nameless(config, places=None, key=None):
    """A configuration without names: where they say what is called on what, places instead."""
    if isinstance(config, dict):
        places = _places(config.get("layers")) or places
        kept = {k: v for k, v in config.items() if k != "name"}
        return {str(k): _nameless(v, places, k) for k, v in kept.items()}
    if isinstance(config, list | tuple):
        return [_nameless(value, places, key) for value in config]
    return (places or {}).get(config, config) if key in _REFERENCES else config


def _places(layers):
    """The place of each layer and operation in the configuration of a graph, by its name."""
    told = layers if isinstance(layers, list) else []
    named = [layer for layer in told if isinstance(layer, dict) and "name" in layer]
    return {layer["name"]: f"#{place}" for place, layer in enumerate(named)}


def _function(function):
    """A function, or whatever is called like one, by its code and what it holds."""
    if isinstance(function, functools.partial):
        given = recorded([list(function.args), function.keywords], _whole)
        return f"partial {_function(function.func)} {json.dumps(given, sort_keys=True)}"
    named = f"{getattr(function, '__module__', '')}.{_name(function)}"
    code = getattr(function, "__code__", None)
    # A method belongs to an object, and an object that is called is one.
    owner = getattr(function, "__self__", function if code is None else None)
    parts = [named, "" if code is None else _code(code), _enclosed(function)]
    if not inspect.isroutine(owner) and not inspect.ismodule(owner):
        parts.append(_own(owner))
    return " ".join(filter(None, parts))


def _enclosed(function):
    """The defaults of a function and what it encloses, as text."""
    values = list(getattr(function, "__defaults__", None) or ())
    values += sorted((getattr(function, "__kwdefaults__", None) or {}).items())
    values += [_content(cell) for cell in getattr(function, "__closure__", None) or ()]
    # Lists and the like may grow while it runs: they are told by their kind alone.
    told = [_name(v) if isinstance(v, list | dict) else recorded(v, _held) for v in values]
    return json.dumps(told) if told else ""


def _content(cell):
    try:
        return cell.cell_contents
    # What is not filled yet.
    except ValueError:
        return None


def _code(code):
    return digest(np.frombuffer(_constant(code).encode(), "uint8"))


def _constant(value):
    """A constant of code, or code, as text, without the file and the lines that it stands in."""
    if isinstance(value, types.CodeType):
        parts = list(map(_constant, value.co_consts))
        return f"{value.co_code.hex()} {value.co_names} {parts}"
    # A set has another order in every process.
    return f"{sorted(map(repr, value))}" if isinstance(value, frozenset) else repr(value)


def _name(value):
    # Not its text, which may hold an address that is another in every process.
    return getattr(value, "__qualname__", type(value).__qualname__)
