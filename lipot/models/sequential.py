"""`Sequential` and `Model` with the conveniences of 1-Lipschitz networks."""

import keras

from lipot import checks, notices
from lipot.backend.keras_graph import functional_class, graph_core
from lipot.layers.base import condense
from lipot.layers.copies import copied, says_its_export
from lipot.models import one_lipschitz


class Exportable:
    """Mixin: freezing the constrained layers of a model, and exporting them."""

    def condense(self):
        """Overwrites every trainable kernel with the kernel applied at inference."""
        condense(self)

    def vanilla_export(self):
        """Returns a copy in which each layer that computes its kernel is a stock Keras layer.

        Layers without a stock twin (GroupSort, L2 pooling) are kept, and so is a subclass with a
        `call` of its own; `lipot.to_keras` replaces those too, for a file that loads without lipot.
        """
        return keras.models.clone_model(self, clone_function=_vanilla)


def _vanilla(layer):
    if isinstance(layer, keras.Model) and graph_core(layer) is not None:
        return keras.models.clone_model(layer, clone_function=_vanilla)
    if says_its_export(layer):
        return layer.vanilla_export()
    if not isinstance(layer, keras.layers.Layer):
        return type(layer).from_config(layer.get_config())
    # Python code, which no configuration holds, learns nothing: both may have it.
    return layer if isinstance(layer, keras.layers.Lambda) else copied(layer)


@keras.saving.register_keras_serializable(package="lipot")
class Sequential(Exportable, keras.Sequential):
    """`keras.Sequential` that spreads one Lipschitz constant over its layers.

    The order of the arguments is that of deel-lip; Keras has `trainable` before `name`. As of every
    subclass of `keras.Sequential`, `keras.models.clone_model` makes a plain one, of layers that
    keep their constants; `from_config` makes one of this class.

    Args:
        layers: List of layers.
        name: Name of the model.
        k_coef_lip: Positive float, the Lipschitz constant of the whole: each of the `n` lipot
            layers that promise one is set to its `n`-th root. A layer that is not known to be
            1-Lipschitz brings a warning.
        **kwargs: Arguments of `keras.Sequential`.

    Lipschitz bound:
        `k_coef_lip` where all other layers are 1-Lipschitz; `lipot.lipschitz_constant` proves it.

    Example:

    >>> import keras, lipot
    >>> model = lipot.Sequential(
    ...     [keras.Input((4,)), lipot.layers.SpectralDense(8), lipot.layers.SpectralDense(2)],
    ...     k_coef_lip=4.0)
    >>> [layer.k_coef_lip for layer in model.layers]
    [2.0, 2.0]
    """

    def __init__(self, layers=None, name=None, k_coef_lip=1.0, **kwargs):
        self.k_coef_lip = checks.positive_float("k_coef_lip", k_coef_lip)
        # Before an input among them builds them: a built layer's constant is fixed.
        _spread(self.k_coef_lip, layers or [])
        self._is_made = False
        super().__init__(layers, name=name, **kwargs)
        self._is_made = True

    def add(self, layer, rebuild=True):
        """Adds a layer, with a warning where it is not known to be 1-Lipschitz.

        Args:
            layer: Keras layer.
            rebuild: As in `keras.Sequential.add`.
        """
        if not one_lipschitz.is_known(layer):
            notices.warn(
                f"Layer '{getattr(layer, 'name', layer)}' of class {type(layer).__name__} is not "
                f"known to be 1-Lipschitz, so `k_coef_lip` promises nothing of model '{self.name}'."
                " lipot.lipschitz_constant(model) says what holds.",
            )
        self._warn_of_change(layer)
        super().add(layer, rebuild=rebuild)

    def pop(self, rebuild=True):
        """Removes the last layer, as Keras does, with a warning where `k_coef_lip` had a part."""
        layer = super().pop(rebuild=rebuild)
        if layer is not None:
            self._warn_of_change(layer)
        return layer

    def _warn_of_change(self, layer):
        if self._is_made and self.k_coef_lip != 1.0 and one_lipschitz.takes_constant(layer):
            notices.warn(
                f"k_coef_lip={self.k_coef_lip} of model '{self.name}' was spread over the layers "
                f"that it was made of: with or without '{layer.name}' the product is another one. "
                "Give all layers to the constructor as a list, or call set_klip_factor before the "
                "layers are built. lipot.lipschitz_constant(model) says what holds.",
            )

    def set_klip_factor(self, klip_factor):
        """Spreads a Lipschitz constant over the lipot layers, evenly on a logarithmic scale.

        Args:
            klip_factor: Positive float, the constant of the whole model.

        Raises:
            ValueError: A layer is built already and has another constant.
        """
        klip_factor = checks.positive_float("klip_factor", klip_factor)
        _spread(klip_factor, self.layers)
        self.k_coef_lip = klip_factor

    def get_config(self):
        return {**super().get_config(), "k_coef_lip": self.k_coef_lip}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        k_coef_lip = config.pop("k_coef_lip", 1.0)
        model = super().from_config(config, custom_objects=custom_objects)
        # The layers bring their own constants: only the total is restored.
        model.k_coef_lip = k_coef_lip
        return model


def _spread(constant, layers):
    scaled = [layer for layer in layers if one_lipschitz.takes_constant(layer)]
    for layer in scaled:
        layer.set_klip_factor(constant ** (1.0 / len(scaled)))


@keras.saving.register_keras_serializable(package="lipot")
class Model(Exportable, keras.Model):
    """`keras.Model` with `condense` and `vanilla_export`.

    The graph may branch, so no constant is spread over it; `lipot.lipschitz_constant` computes
    the one it has.

    Example:

    >>> import keras, lipot
    >>> inputs = keras.Input((4,))
    >>> model = lipot.Model(inputs, lipot.layers.SpectralDense(2)(inputs))
    >>> type(model.vanilla_export().layers[-1]).__name__
    'Dense'
    """

    # Keras makes a class functional for good, with all that it inherits from, when one model of it
    # is made of inputs and outputs: here that would befall every subclass that writes a `call`.
    def __new__(cls, *args, **kwargs):
        return super().__new__(Functional if cls is Model and _are_a_graph(args, kwargs) else cls)

    def __init__(self, *args, **kwargs):
        if _are_a_graph(args, kwargs):
            _make_functional(type(self))
        super().__init__(*args, **kwargs)


# Files name the class that users know.
@keras.saving.register_keras_serializable(package="lipot", name="Model")
class Functional(Model, functional_class()):
    """What `Model(inputs, outputs)` makes."""

    # With the arguments of Keras's: it then clones a model to one of this class.
    def __init__(self, inputs, outputs, name=None, **kwargs):
        super().__init__(inputs, outputs, name=name, **kwargs)


def _are_a_graph(args, kwargs):
    given = {*("inputs", "outputs")[: len(args)], *kwargs}
    return given >= {"inputs", "outputs"}


def _make_functional(kind):
    """Puts the functional class in the place of `Model` where a class inherits from that."""
    if issubclass(kind, Model) and not issubclass(kind, Functional):
        kind.__bases__ = tuple(
            Functional if base is Model else _make_functional(base) for base in kind.__bases__
        )
    return kind
