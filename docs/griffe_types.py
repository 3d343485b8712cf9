"""Gives parameters without an annotation their types in the reference.

A type is told by the check that an argument goes through, by the first words of its description, by
a convention of Keras, or by its default.
"""

import ast
import re

import griffe

# By the end of the name of a check in lipot.checks.
_CHECKS = {
    "float": "float",
    "int": "int",
    "integer": "int",
    "boolean": "bool",
    "array": "ArrayLike",
    "labels": "ArrayLike",
    "norm": "int | str",
    "choice": "str",
    "pair": "int | tuple",
    "probability": "float",
}
# By the name of a parameter, where Keras and lipot mean the same by it everywhere.
_NAMES = {
    "activation": "str | Callable | keras.layers.Layer",
    "batch_size": "int",
    "data_format": "str",
    "dtype": "str | keras.DTypePolicy",
    "epochs": "int",
    "eps": "float",
    "input_shape": "tuple",
    "kernel_size": "int | tuple",
    "model": "keras.Model",
    "name": "str",
    "norm": "int | str",
    "reduction": "str",
    "shape": "tuple",
    "x": "ArrayLike",
    "y": "ArrayLike",
    **{f"{place}_{kind.lower()}": f"str | keras.{kind.lower()}s.{kind}"
       for place in ("kernel", "bias", "activity")
       for kind in ("Initializer", "Regularizer", "Constraint")},
}  # fmt: skip
# By the first words of a description.
_WORDS = {
    "float": "float",
    "number": "float",
    "int": "int",
    "integer": "int",
    "boolean": "bool",
    "bool": "bool",
    "string": "str",
    "list": "list",
    "tuple": "tuple",
    "array": "ArrayLike",
    "callable": "Callable",
    "dictionary": "dict",
    "layer": "keras.layers.Layer",
    "metric": "keras.metrics.Metric",
    "model": "keras.Model",
}
_CHECKED = re.compile(rf"checks\.\w*?({'|'.join(_CHECKS)})\(\s*\"(\w+)\"")
_DESCRIBED = re.compile(
    rf"^ *(\w+): (?:[\w-]+ ){{0,2}}?({'|'.join(_WORDS)})\b(?!')", re.MULTILINE | re.IGNORECASE
)
_VARIADIC = griffe.ParameterKind.var_positional, griffe.ParameterKind.var_keyword


class Types(griffe.Extension):
    """A griffe extension that annotates the parameters of what it loads."""

    def on_object(self, *, obj, **kwargs):
        """Called by griffe once for each object."""
        if obj.docstring and (obj.is_class or obj.is_function):
            annotate(obj)


def annotate(obj):
    """Gives the parameters of a class or function the types that can be told."""
    described = _DESCRIBED.findall(obj.docstring.value)
    known = {name: _WORDS[word.lower()] for name, word in described}
    known |= {name: _CHECKS[check] for check, name in _CHECKED.findall(obj.source)}
    known = {**_NAMES, **known}
    for parameter in obj.parameters:
        if parameter.annotation is None and parameter.kind not in _VARIADIC:
            parameter.annotation = _type(known.get(parameter.name), parameter.default)


def _type(known, default):
    """A type in the words of Python, or `None`."""
    if known is not None:
        return f"{known} | None" if default == "None" else known
    try:
        value = ast.literal_eval(str(default))
    except (ValueError, SyntaxError):
        return None
    return None if value is None else type(value).__name__
