"""Checks of arguments that are neither numbers nor arrays."""

import os
import pathlib
from collections.abc import Hashable, Iterable
from typing import Any

import keras
import numpy as np

from lipot.checks.errors import invalid, refused


def boolean(name: str, value: Any) -> bool:
    """Returns `value`, or raises unless it is a boolean.

    Example:

    >>> boolean("use_bias", True)
    True
    """
    if not isinstance(value, bool | np.bool_):
        raise invalid(name, "a boolean", value)
    return bool(value)


def choice(name: str, value: Any, choices: Iterable) -> Any:
    """Returns `value`, or raises unless it is one of `choices`.

    Example:

    >>> choice("padding", "same", ("same", "valid"))
    'same'
    """
    # An array is not hashable, and compares value by value.
    if not isinstance(value, Hashable) or value not in tuple(choices):
        raise invalid(name, f"one of {tuple(choices)}", value)
    return value


def data_format(name: str, value: Any) -> str:
    """Returns where images have their channels, Keras's global setting for `None`.

    Example:

    >>> data_format("data_format", "channels_first")
    'channels_first'
    """
    value = keras.config.image_data_format() if value is None else value
    return choice(name, value, ("channels_last", "channels_first"))


def instance(name: str, value: Any, kind: Any, expected: str) -> Any:
    """Returns `value`, or raises unless it is of a class.

    Args:
        name: Name of the argument.
        value: What was given for it.
        kind: A class, or a union of classes; `Attack | None` lets `None` pass.
        expected: What the argument must be, in words.

    Example:

    >>> instance("name", "dense", str | None, "a string or None")
    'dense'
    """
    if not isinstance(value, kind):
        raise invalid(name, expected, value)
    return value


def built_model(name: str, value: Any) -> Any:
    """Returns `value`, or raises unless it is a Keras model that has its weights.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> built_model("encoder", model) is model
    True
    """
    instance(name, value, keras.Model, "a Keras model: load a file with load_model")
    if not value.built:
        raise invalid(name, "a built model: give it an input shape or call it on data", value)
    return value


def attackable(name: str, model: Any) -> Any:
    """Returns a model, or raises where it rounds its inputs to integers and has no slope in them.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> attackable("classifier", model) is model
    True
    """
    for tensor in getattr(model, "inputs", None) or []:
        if not keras.backend.is_float_dtype(tensor.dtype):
            expected = "floating point inputs, as of keras.Input without a dtype, to have gradients"
            raise refused(name, expected, f"inputs of dtype {tensor.dtype}")
    return model


def path(name: str, value: Any, expected: str = "the path of a file") -> pathlib.Path:
    """Returns `value` as a path, or raises unless it is text or a path that names something.

    Example:

    >>> path("file", "runs/first.npz").name
    'first.npz'
    """
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise invalid(name, expected, value)
    return pathlib.Path(value)


def folder(name: str, value: Any, expected: str = "the path of a folder") -> pathlib.Path:
    """Returns the path of a folder, or raises where there is none and none can be made.

    Example:

    >>> folder("resume", "runs/first").name
    'first'
    """
    found = path(name, value, expected)
    for place in (found, *found.parents):
        if place.is_file():
            raise refused(name, expected, f"{name}={value!r}, where {place} is a file")
    return found
