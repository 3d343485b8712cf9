"""`Sequential` and `Model` with the conveniences of 1-Lipschitz networks."""

import keras

from lipot import checks
from lipot.layers.base import Condensable, LipschitzLayer


class Exportable:
    """Mixin: freezing the constrained layers of a model, and exporting them."""

    def condense(self):
        """Overwrites every trainable kernel with the kernel applied at inference."""
        for layer in self.layers:
            if isinstance(layer, Condensable) or hasattr(layer, "condense"):
                layer.condense()

    def vanilla_export(self):
        """Returns a copy in which each condensable layer is a stock Keras layer.

        Layers without weights (GroupSort, L2 pooling) are kept; `lipot.to_keras` replaces
        those too, for a file that loads without lipot.
        """

        def export(layer):
            if isinstance(layer, Condensable):
                return layer.vanilla_export()
            copy = type(layer).from_config(layer.get_config())
            if layer.built and layer.weights:
                copy.build(layer.input.shape)
                copy.set_weights(layer.get_weights())
            return copy

        return keras.models.clone_model(self, clone_function=export)


@keras.saving.register_keras_serializable(package="lipot")
class Sequential(Exportable, keras.Sequential):
    """`keras.Sequential` that spreads one Lipschitz constant over its layers.

    Args:
        layers: List of layers.
        name: Name of the model.
        k_coef_lip: Positive float, the Lipschitz constant of the whole: each of the `n` lipot
            layers is set to its `n`-th root.
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
        super().__init__(layers, name=name, **kwargs)
        self.set_klip_factor(k_coef_lip)

    def set_klip_factor(self, klip_factor):
        """Spreads a Lipschitz constant over the lipot layers, evenly on a logarithmic scale.

        Args:
            klip_factor: Positive float, the constant of the whole model.
        """
        self.k_coef_lip = checks.positive_float("klip_factor", klip_factor)
        scaled = [layer for layer in self.layers if isinstance(layer, LipschitzLayer)]
        for layer in scaled:
            layer.set_klip_factor(self.k_coef_lip ** (1.0 / len(scaled)))

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
