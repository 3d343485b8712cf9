"""What tells one evaluation from another: its model and its attacks, in JSON values."""

import json
import types

import keras
import numpy as np

from lipot.backend.keras_graph import all_layers
from lipot.evaluation.run.checkpoints import digest

# Where the configuration of a model names layers: Keras numbers these anew in every process.
_REFERENCES = ("keras_history", "input_layers", "output_layers")


def model_digest(model):
    """SHA-256 of a model's weights, and of the configurations of it and all that is inside it.

    Names are left out; which layer is called on what counts by their order.
    """
    told = "\n".join(map(_configuration, all_layers(model)))
    weights = [np.asarray(weight.numpy()) for weight in model.weights]
    return digest(np.frombuffer(told.encode(), "uint8"), *weights)


def attack_told(spec):
    """An `AttackSpec` as JSON values: what it does, and how.

    A function counts by its name and what it was compiled to; two that differ in a value that
    they have from outside are one here.
    """
    told = {"name": spec.name, "build": _function(spec.build)}
    told |= {"distance norms": list(map(str, spec.distance_norms))}
    return told | {"settings": recorded(spec.settings, whole=model_digest)}


def recorded(value, whole=None):
    """A setting as JSON keeps it: numbers as they are, whatever else by its name.

    Args:
        value: The setting.
        whole: Function that tells a Keras model from any other, or `None` for its name.
    """
    if isinstance(value, dict):
        return {str(name): recorded(part, whole) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [recorded(part, whole) for part in value]
    if isinstance(value, np.ndarray | np.generic):
        return recorded(value.tolist(), whole)
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    if whole is not None and isinstance(value, keras.Model):
        return whole(value)
    return _name(value)


def _configuration(part):
    """What a layer or model is made with, as text."""
    kind = type(part).__qualname__
    try:
        config = part.get_config()
    # A layer of the user's need not tell its configuration: what it holds says something.
    except (NotImplementedError, TypeError, ValueError):
        plain = (bool, int, float, str)
        config = {k: v for k, v in vars(part).items() if k[0] != "_" and isinstance(v, plain)}
    return f"{kind} {json.dumps(_nameless(config), sort_keys=True, default=_name)}"


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
    code = getattr(function, "__code__", None)
    told = "" if code is None else digest(np.frombuffer(_compiled(code).encode(), "uint8"))
    return f"{getattr(function, '__module__', '')}.{_name(function)} {told}".strip()


def _compiled(code):
    """What a function was compiled to, without the file and the lines that it stands in."""
    parts = [_compiled(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {parts}"


def _name(value):
    # Not its text, which may hold an address that is another in every process.
    return getattr(value, "__qualname__", type(value).__qualname__)
