"""What a certificate knows about one layer, and where it looks it up."""

import math

from lipot.math.rounding import LayerBound, values_in

_BOUNDS = {}
_REFUSED = {}
# What layers compute with. A class that overrides one of these is another layer.
_COMPUTING = (
    "call",
    "__call__",
    "convolution_op",
    "linear_map",
    "add_bias",
    "convolve",
    "into",
    "back",
    "mean_of",
    "run_branch",
)
# What states a bound: a layer with a kernel derives it from the norm of its linear map.
_STATEMENTS = {"linear_map": ("lipschitz_bound", "linear_norm")}


def register_bound(*layer_classes):
    """Teaches the certificates a layer class.

    The decorated function receives the layer and its input shape `(None, ...)` and returns an
    upper bound of the layer's l2 Lipschitz constant at inference: a float, or a `LayerBound`
    that also says how much it rounds. For a float lipot assumes as many roundings as the layer
    has inputs. A subclass that overrides `call`, or what `call` computes with, is another layer
    and needs its own bound.

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
    """

    def register(function):
        for layer_class in layer_classes:
            if not isinstance(layer_class, type):
                raise ValueError(
                    "Invalid value received for argument `layer_classes`. Expected layer "
                    f"classes. Received: {layer_class!r}"
                )
            _BOUNDS[layer_class] = function
        return function

    return register


def refuse(layer_class, reason):
    """Records why a layer class has no useful bound."""
    _REFUSED[layer_class] = reason


def layer_bound(layer, input_shape):
    """Looks up the `LayerBound` of a layer, or raises an error that names it."""
    for known in type(layer).__mro__:
        if known in _REFUSED:
            raise ValueError(f"Layer '{layer.name}' cannot be certified. {_REFUSED[known]}")
        if known in _BOUNDS and is_called_as(type(layer), known):
            return _checked(_BOUNDS[known](layer, input_shape), layer, input_shape)
    if _states_a_bound(type(layer)):
        return _checked(layer.lipschitz_bound, layer, input_shape)
    raise ValueError(
        f"No Lipschitz bound is known for layer '{layer.name}' of class "
        f"{type(layer).__module__}.{type(layer).__qualname__}. Expected a layer of lipot, a stock "
        "Keras layer with a finite constant, or one registered with "
        f"`@lipot.certificates.register_bound({type(layer).__name__})` on a function "
        "`(layer, input_shape) -> bound`."
    )


def _owner(layer_class, name):
    return next(c for c in layer_class.__mro__ if name in vars(c))


def is_called_as(layer_class, known):
    """Whether a class is `known` or a subclass that leaves what `known` computes alone."""
    return issubclass(layer_class, known) and all(
        issubclass(known, _owner(layer_class, name))
        for name in _COMPUTING
        if hasattr(layer_class, name)
    )


def _states_a_bound(layer_class):
    """Whether a class has a `lipschitz_bound` that speaks for what it computes itself.

    Whoever writes the first `call` below `LipschitzLayer` states its bound. Whoever overrides
    the `call` of a class that has a bound, or another method it computes with, must restate it.
    """
    return hasattr(layer_class, "lipschitz_bound") and all(
        _speaks_for(layer_class, name) for name in _COMPUTING if hasattr(layer_class, name)
    )


def _speaks_for(layer_class, method):
    """Whether the bound of a class is stated at or below the class that wrote a method."""
    author = _owner(layer_class, method)
    # Not the parents of the author: a mixin overrides the methods of the classes beside it.
    rest = layer_class.__mro__[layer_class.__mro__.index(author) + 1 :]
    overridden = any(method in vars(p) and hasattr(p, "lipschitz_bound") for p in rest)
    if author.__module__.startswith("lipot.") or not overridden:
        return True
    below = layer_class.__mro__[: -len(rest)]
    statements = _STATEMENTS.get(method, ("lipschitz_bound",))
    return any(name in vars(c) for c in below for name in statements)


def _checked(bound, layer, input_shape):
    if not isinstance(bound, LayerBound):
        length = values_in(input_shape) + 2
        # The input roundings cover sums of inputs, the output ones what is done to the result.
        bound = LayerBound(float(bound), length, 2.0 * float(bound), 0.0, length)
    if not all(math.isfinite(value) and value >= 0.0 for value in bound):
        raise ValueError(
            f"The bound of layer '{layer.name}' is not a finite nonnegative number. "
            f"Received: {bound}"
        )
    return bound
