"""Layers whose kernel is computed from the weights that they train."""

import dataclasses
from functools import partial

import keras
import numpy as np
from keras import ops

from lipot import checks
from lipot.backend.keras_graph import SavesComputedState
from lipot.layers.base import LipschitzLayer, arguments_of
from lipot.layers.inference_cache import InferenceCache
from lipot.layers.parametrizations import ExactKernel, Site
from lipot.layers.trained_weights import DrawnWide, Projection
from lipot.layers.training_state import hand_on


class ParametrizedLayer(SavesComputedState, LipschitzLayer):
    """A layer composed of a linear map and a parametrization of its kernel.

    The kernel of a training step and that of inference are the parametrization's; the latter is
    kept as long as the weights that it comes from are the same. It is cut from differentiation:
    only a call with `training=True` gives the weights behind the kernel a gradient.

    Args:
        linear_map: A `lipot.math.linear_maps.LinearMap`.
        parametrization: A `Parametrization`.
        kernel_initializer: Initializer of the trainable weights behind the kernel.
        kernel_regularizer: Regularizer of these weights.
        kernel_constraint: Constraint of these weights, applied after each step before the
            parametrization's own projection.
        **kwargs: Arguments of `LipschitzLayer`.
    """

    def __init__(
        self,
        linear_map,
        parametrization,
        *,
        kernel_initializer=None,
        kernel_regularizer=None,
        kernel_constraint=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if self.quantization_mode is not None:
            raise checks.invalid("dtype", "a floating point policy", self.dtype_policy.name)
        self.linear_map = linear_map
        self.parametrization = parametrization
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        for name, value in self._arguments().items():
            setattr(self, name, value)
        self.input_spec = keras.layers.InputSpec(**linear_map.input_axes())

    def _arguments(self):
        """The arguments of the layer that its map and its parametrization hold."""
        facts = {}
        for part in (self.linear_map, self.parametrization):
            facts |= {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
        known = arguments_of(type(self))
        return {name: value for name, value in facts.items() if name in known}

    def add_kernel(self, input_shape):
        """Creates the weights behind the kernel, as attributes, and the cache of inference."""
        self.linear_map.check(input_shape)
        self._map, factor = self.linear_map.split_factor(self.k_coef_lip)
        self._site = Site(self._map, tuple(input_shape), factor, self.compute_dtype)
        constraint = Projection(self.parametrization, self.kernel_constraint)
        wanted = self.parametrization.weights(self._site, self.kernel_initializer)
        for name, shape, initializer in wanted:
            weight = self.add_weight(
                name=name,
                shape=shape,
                initializer=initializer and DrawnWide(initializer),
                regularizer=self.kernel_regularizer,
                constraint=constraint,
                autocast=False,
            )
            setattr(self, name, weight)
        self._sources = [variable.name for variable in wanted]
        # Without an aggregation each replica of `tf.distribute` keeps a copy of its own. All come
        # from the same weights and stay the same, and no replica waits for another in a call.
        states = self.parametrization.states(self._site)
        for name, shape, initializer in states:
            state = self.add_weight(
                name=name,
                shape=shape,
                initializer=initializer,
                trainable=False,
                autocast=False,
            )
            setattr(self, name, state)
        self._states = [variable.name for variable in states]
        self._cache = InferenceCache(
            [getattr(self, name) for name in self._sources],
            self._map.kernel_shape(input_shape),
        )
        channels = self.linear_map.channels(input_shape)
        self.input_spec = keras.layers.InputSpec(**self.linear_map.input_axes(channels))

    @property
    def variables(self):
        """Weights, and the state of the cache, which compiled programs carry along."""
        return [*super().variables, *self.computed_state]

    @property
    def computed_state(self):
        cache = self.__dict__.get("_cache")
        return [] if cache is None else cache.variables

    @property
    def keeps_constant(self):
        return self.parametrization.keeps_norm

    def effective_kernel(self, training):
        """The kernel that one call applies, in the variable dtype.

        A frozen layer applies that of inference while others train, as `BatchNormalization` does.
        """
        if training and self.trainable:
            return self._in_training(self.parametrization.train)
        exact = ExactKernel(self.parametrization, self._site, tuple(self._sources))
        return self._cache.read(list(self._values(self._sources).values()), exact)

    def apply_in_training(self, inputs):
        """Outputs of the map with the kernel of a training step, without bias and activation."""
        return self._in_training(partial(self.parametrization.apply_in_training, inputs))

    def _in_training(self, step):
        """What a step makes of weights and states; keeps the states it leaves."""
        before = self._values(self._states)
        result, after = step(self._values(self._sources), before, self._site)
        for name, value in after.items():
            if value is not before[name]:
                hand_on(self, name, value)
        return result

    def _values(self, names):
        return {name: getattr(self, name).value for name in names}

    @property
    def inference_kernel(self):
        """The kernel applied at inference, rounded to the compute dtype as `call` does."""
        self.check_built()
        # A copy: on PyTorch a tensor may be the memory of the kernel that calls apply.
        return ops.copy(ops.cast(self.effective_kernel(training=False), self.compute_dtype))

    def applied_kernel(self):
        """`inference_kernel` as an array in float64; raises where it is not finite."""
        wide = "float64" if self.compute_dtype == "float64" else "float32"
        kernel = ops.convert_to_numpy(ops.cast(self.inference_kernel, wide)).astype("float64")
        if not np.all(np.isfinite(kernel)):
            raise ValueError(
                f"The kernel of layer '{self.name}' holds NaN or infinite values; no Lipschitz "
                "bound exists. Load a finite checkpoint or lower the learning rate."
            )
        return kernel

    def compute_output_shape(self, input_shape):
        return self.linear_map.output_shape(tuple(input_shape))

    def get_config(self):
        return {
            **super().get_config(),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            **self._arguments(),
        }
