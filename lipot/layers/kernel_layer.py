"""A linear map with a constrained kernel, a bias and an activation: dense and convolution alike."""

import keras
from keras import ops

from lipot import checks
from lipot.layers import vanilla
from lipot.layers.activation_bounds import activation_bound
from lipot.layers.applied_weights import applied_weight
from lipot.layers.layer_bounds import is_called_as, is_ours, overrides
from lipot.layers.parametrized_layer import ParametrizedLayer
from lipot.math.linear_maps import Dense, LinearMap


class KernelLayer(ParametrizedLayer):
    """`activation(map(inputs, kernel) + bias)`, with the kernel of a parametrization.

    Args:
        linear_map: A `lipot.math.linear_maps.LinearMap`: what a kernel does to a batch.
        parametrization: A `lipot.layers.parametrizations.Parametrization`: which kernel.
        activation: As in `keras.layers.Dense`, like the arguments that follow.
        use_bias: As in `keras.layers.Dense`.
        bias_initializer: As in `keras.layers.Dense`.
        bias_regularizer: As in `keras.layers.Dense`.
        activity_regularizer: As in `keras.layers.Dense`.
        bias_constraint: As in `keras.layers.Dense`.
        **kwargs: Arguments of `ParametrizedLayer`.
    """

    def __init__(
        self,
        linear_map,
        parametrization,
        *,
        activation=None,
        use_bias=True,
        bias_initializer="zeros",
        bias_regularizer=None,
        activity_regularizer=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(
            linear_map, parametrization, activity_regularizer=activity_regularizer, **kwargs
        )
        if isinstance(activation, type):
            raise checks.invalid("activation", "a layer, not its class", activation)
        self.activation = keras.activations.get(activation)
        self.use_bias = checks.boolean("use_bias", use_bias)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.bias_constraint = keras.constraints.get(bias_constraint)

    def build(self, input_shape):
        self.add_kernel(input_shape)
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.linear_map.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.built = True

    def call(self, inputs, training=False):
        # A layer may meet another image than the one it was built for.
        self._map.check(inputs.shape)
        if training and self.trainable:
            outputs = self.apply_in_training(inputs)
        else:
            kernel = ops.cast(self.effective_kernel(training=False), self.compute_dtype)
            outputs = self._map.apply(inputs, kernel)
        if self.bias is not None:
            outputs = self._map.add_bias(outputs, self.bias)
        return self.activation(outputs)

    def bound(self, input_shape, norm=2):
        self.check_built()
        _check_map_states(self.name, type(self._map))
        input_shape = tuple(input_shape)
        kernel = self.applied_kernel()
        linear = self._map.bound(kernel, input_shape, self.compute_dtype, norm)
        output_shape = self._map.output_shape(input_shape)
        if self.bias is not None:
            linear = linear.with_bias(applied_weight(self, "bias"), output_shape, norm)
        inner = activation_bound(self.activation, output_shape, norm, self.compute_dtype)
        return linear.with_activation(inner)

    def condense(self):
        """Overwrites the trainable weights with some that give the inference kernel directly."""
        self.check_built()
        weights = {name: getattr(self, name) for name in self._sources}
        kernel = self.effective_kernel(training=False)
        values = {name: ops.convert_to_tensor(weight.value) for name, weight in weights.items()}
        condensed = self.parametrization.condensed(values, kernel, self._site)
        for name, value in condensed.items():
            weights[name].assign(ops.cast(value, weights[name].dtype))

    def vanilla_export(self):
        """Returns stock Keras layers with the same outputs at inference.

        One stock layer, or where Keras has none that pads or folds as this one does a functional
        model of several.
        """
        self.check_built()
        kind, known = type(self._map), vanilla.export.registry
        # A user's map computes something else than the one of lipot that it inherits from.
        written = vanilla.export if is_ours(kind) or kind in known else known[object]
        return written(self._map, self)

    def get_config(self):
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }


def _check_map_states(name, kind):
    """Raises for a user's map that computes otherwise than the one it takes its bounds from.

    Args:
        name: Name of its layer.
        kind: Class of the map.
    """
    ours = next(parent for parent in kind.__mro__ if is_ours(parent))
    stated = {"norm", "sums"}
    if ours.linf_norm is not LinearMap.linf_norm:
        stated.add("linf_norm")
    # The first class that states all speaks for itself, and for none below it.
    author = next(
        c for c in kind.__mro__ if c is ours or "bound" in vars(c) or stated <= {*vars(c)}
    )
    changed = {n for n in overrides(kind, author) if not n.startswith("__")} - {"bound", *stated}
    if changed:
        raise ValueError(
            f"No Lipschitz bound is known for layer '{name}': its map {kind.__qualname__} "
            f"overrides {', '.join(f'`{n}`' for n in sorted(changed))} of {author.__name__}. "
            "Expected one that states `bound`, or "
            f"{', '.join(f'`{n}`' for n in sorted(stated))}, itself."
        )


def is_dense(layer):
    """Whether a layer is `x W + b` followed by its activation."""
    if isinstance(layer, KernelLayer):
        linear_map = layer.linear_map
        return type(linear_map) is Dense and is_called_as(type(layer), KernelLayer)
    return is_called_as(type(layer), keras.layers.Dense)
