"""What every lipot layer with a Lipschitz constant has in common."""

import functools
import inspect
from typing import Protocol, runtime_checkable

import keras

from lipot import checks
from lipot.backend.keras_graph import all_layers
from lipot.math.rounding import LayerBound, applied_factor, values_in

# Properties that compute; `dir` leaves them out.
_COMPUTED = ("lipschitz_bound", "inference_kernel")


def built_shape(layer):
    """Shape of the input that a layer was built for; `(None,)` before that."""
    return tuple((layer.get_build_config() or {}).get("input_shape") or (None,))


class Bounded:
    """Mixin: a layer that has a `bound`, and tells its constant as one number."""

    @property
    def lipschitz_bound(self):
        """Proven l2 Lipschitz constant at inference, on inputs as it was built for (float)."""
        return self.bound(built_shape(self)).lipschitz

    def __dir__(self):
        # Keras reads each attribute that `dir` names when it saves a layer, properties too, and
        # the bound of a wide convolution takes seconds.
        return [name for name in super().__dir__() if name not in _COMPUTED]


class FixedArguments:
    """Mixin: a layer whose arguments are fixed once it is built.

    Programs compiled from its `call` read them, and would go on with the old ones. One whose class
    has a descriptor with `seen_by_programs` for it may change: they see that.
    """

    def rematerialized_call(self, layer_call, *args, **kwargs):
        """As in Keras, which by `RematScope("activations")` sets another activation for a call."""
        rematerialized = super().rematerialized_call(layer_call, *args, **kwargs)

        @functools.wraps(layer_call)
        def call(*args, **kwargs):
            self.__dict__["_set_by_keras"] = "activation"
            try:
                return rematerialized(*args, **kwargs)
            finally:
                self.__dict__.pop("_set_by_keras", None)

        return call

    def __setattr__(self, name, value):
        fixed = self.__dict__.get("built") and name != self.__dict__.get("_set_by_keras")
        if fixed and name in arguments_of(type(self)):
            descriptor = getattr(type(self), name, None)
            if not getattr(descriptor, "seen_by_programs", False):
                self._check_unchanged(name, value)
        super().__setattr__(name, value)

    def _check_unchanged(self, name, value):
        old = self.__dict__.get(name, value)
        if old is not value and old != value:
            raise ValueError(
                f"Argument `{name}` of layer '{self.name}' is fixed once the layer is built: "
                "compiled programs, `predict` among them, would go on with the old value. "
                "Expected a new layer, from_config({**layer.get_config(), "
                f"'{name}': ...}}), with the weights of this one. Received: {name}={value!r}"
            )


def read_channels(layer, input_shape, axis):
    """Number of channels of an input, which must be known.

    Raises:
        ValueError: It is not.
    """
    if input_shape[axis] is None:
        raise ValueError(
            f"Layer '{layer.name}' needs a fixed number of channels. Expected an int on axis "
            f"{axis}. Received: input_shape={tuple(input_shape)}"
        )
    return input_shape[axis]


def check_built(layer):
    """Raises where a layer has no weights yet."""
    if not layer.built:
        raise ValueError(
            f"Layer '{layer.name}' has no weights yet. Expected a built layer: call it on data or "
            "give its model an input shape first."
        )


class LipschitzLayer(Bounded, FixedArguments, keras.layers.Layer):
    """A Keras layer that knows a proven bound of its own l2 Lipschitz constant.

    A subclass states it in `bound`, next to its `call`. Below this class the first `call` may
    leave that out: its layer then promises `k_coef_lip`, in l2.

    Args:
        k_coef_lip: Positive float, the Lipschitz constant the layer promises. Defaults to 1.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, *, k_coef_lip=1.0, **kwargs):
        super().__init__(**kwargs)
        self.k_coef_lip = checks.positive_float("k_coef_lip", k_coef_lip)

    def set_klip_factor(self, klip_factor):
        """Changes the promised Lipschitz constant, as `lipot.Sequential` does when it spreads one.

        Args:
            klip_factor: Positive float.

        Raises:
            ValueError: The layer is built and has another constant.
        """
        self.k_coef_lip = checks.positive_float("klip_factor", klip_factor)

    @property
    def keeps_constant(self):
        """Whether `k_coef_lip` bounds the layer in l2, whatever becomes of its weights."""
        return True

    @property
    def applied_factor(self):
        """`k_coef_lip` as a call multiplies by it: in float32 it may be larger than was given."""
        return applied_factor(self.k_coef_lip, self.compute_dtype)

    def bound(self, input_shape, norm=2):
        """Proven facts about the layer at inference, from its weights as they are.

        Args:
            input_shape: `(None, ...)`; `None` for sizes that are not known.
            norm: `2` or `"inf"`, the norm of inputs and outputs.

        Returns:
            A `lipot.certificates.LayerBound`.

        Raises:
            ValueError: No bound is known in this norm.
        """
        if norm != 2:
            raise no_bound_in_linf(self)
        return LayerBound.of_constant(self.applied_factor, values_in(input_shape))

    def check_built(self):
        """Raises where the layer has no weights yet."""
        check_built(self)

    def get_config(self):
        return {**super().get_config(), "k_coef_lip": self.k_coef_lip}


@runtime_checkable
class Condensable(Protocol):
    """What has a kernel computed from a freer one, and can be frozen to plain Keras.

    Every object with the two methods is one; nothing has to inherit from this class.
    """

    def condense(self):
        """Overwrites the trainable kernel with the kernel used at inference."""

    def vanilla_export(self):
        """Returns a stock Keras layer with the same outputs at inference."""


def condense(model):
    """Condenses the layers of a model that have a `condense`, inside other layers too."""
    done = {id(model)}
    for layer in all_layers(model):
        if id(layer) not in done and hasattr(layer, "condense"):
            layer.condense()
            # It has condensed what is inside it.
            done |= {id(part) for part in all_layers(layer)}


def no_bound_in_linf(layer):
    """The error for a layer that states a bound in l2 alone."""
    return ValueError(
        f"No l-infinity bound is known for layer '{layer.name}' of class "
        f"{type(layer).__module__}.{type(layer).__qualname__}, which states one in l2 alone. "
        "Expected a layer with a method `bound(self, input_shape, norm=2)`, or one registered with "
        f"`@lipot.certificates.register_bound({type(layer).__name__})` on a function "
        "`(layer, input_shape, norm) -> bound`."
    )


@functools.cache
def arguments_of(layer_class):
    """Names of the arguments that a lipot layer class and its lipot parents are made from."""
    names = set()
    for parent in layer_class.__mro__:
        if issubclass(parent, FixedArguments) and "__init__" in vars(parent):
            names |= set(inspect.signature(vars(parent)["__init__"]).parameters)
    return frozenset(names - {"self", "kwargs"})
