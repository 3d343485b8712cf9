"""JAX's derivatives and compiled calls."""

import functools

import keras
import numpy as np
from keras import ops

from lipot.backend.engine import Engine, InnerScope, constant_cotangent, values_of
from lipot.backend.keras_graph import random_states

# A compiled call changes no variable, and so would draw the same numbers each time: the counter
# of each seed moves on by more than one call draws.
_DRAWS = 1_000_003


class JaxEngine(Engine):
    """The engine of JAX."""

    def __init__(self):
        import jax
        import jax.experimental

        self.jax = jax
        self._inlined = jax.jit(lambda tensor: tensor, inline=True)

    def value_and_input_gradient(self, function, inputs):
        value, gradient = self.jax.value_and_grad(function)(self.jax.lax.stop_gradient(inputs))
        return value, self.jax.lax.stop_gradient(gradient)

    def pullback(self, function, inputs, variables):
        def stateless(x):
            # Assignments are carried out by hand: left to Keras, they would leak a tracer.
            with keras.StatelessScope(state_mapping=list(zip(variables, before))) as scope:
                outputs, auxiliary = function(x)
            return outputs, (auxiliary, [scope.get_current_value(v) for v in variables])

        before = [variable.value for variable in variables]
        if not variables:
            outputs, pull, auxiliary = self.jax.vjp(function, inputs, has_aux=True)
        else:
            outputs, pull, (auxiliary, after) = self.jax.vjp(stateless, inputs, has_aux=True)
            for variable, old, new in zip(variables, before, after):
                if new is not old:
                    variable.assign(new)
        return outputs, auxiliary, lambda c: pull(constant_cotangent(c, outputs))[0]

    def compile(self, function):
        return self.jax.jit(function)

    def compile_over(self, model, function):
        def variables():
            return [*model.trainable_variables, *model.non_trainable_variables]

        @self.jax.jit
        def run(values, *tensors):
            with keras.StatelessScope(state_mapping=list(zip(variables(), values))):
                return function(functools.partial(model, training=False), *tensors)

        def call(*tensors):
            # The weights travel as arguments: closed over, they would be baked into the program.
            outputs = run([variable.value for variable in variables()], *tensors)
            for state in random_states(model):
                state.assign(state.value + self.jax.numpy.asarray([0, _DRAWS], state.value.dtype))
            return outputs

        return call

    def at_once(self, tensors):
        # Keras carries along what is assigned in its scopes, as in its own programs.
        if _scope() is not None or not all(map(self.is_concrete, tensors)):
            return super().at_once(tensors)
        return self.jax.ensure_compile_time_eval()

    def can_assign(self, variable):
        value = variable.value
        if self.is_concrete(value) or isinstance(_scope(), _AssignedScope):
            return True
        # An inner program has its own copy of what comes from outside.
        return self._inlined(value) is value

    def repeat(self, count, step, state):
        if count == 1:
            return step(0, state)
        variables = self._assigned(step, 0, state)

        def carrying(index, pair):
            with InnerScope(zip(variables, pair[1])) as scope:
                return step(index, pair[0]), scope.values(variables)

        start = (state, values_of(variables))
        state, values = self.jax.lax.fori_loop(0, count, carrying, start)
        _assign(variables, values)
        return state

    def recomputed(self, function):
        # A loop keeps the two computations apart by itself.
        return self.jax.checkpoint(function, prevent_cse=False)

    def repeat_while(self, unfinished, step, state):
        variables = self._assigned(step, *state)

        def carrying(pair):
            with InnerScope(zip(variables, pair[1])) as scope:
                return tuple(step(*pair[0])), scope.values(variables)

        start = (tuple(state), values_of(variables))
        state, values = self.jax.lax.while_loop(lambda pair: unfinished(*pair[0]), carrying, start)
        _assign(variables, values)
        return state

    def _assigned(self, step, *state):
        """The variables that a step of a loop assigns."""
        with _AssignedScope() as scope:
            self.jax.eval_shape(step, *state)
        return scope.assigned

    def few_shapes(self, arrays):
        missing = (1 << (len(arrays[0]) - 1).bit_length()) - len(arrays[0])
        return [np.concatenate([a, np.repeat(a[-1:], missing, axis=0)]) for a in arrays]

    def shards(self):
        distribution = keras.distribution.distribution()
        return 1 if distribution is None else _devices(distribution, distribution.batch_dim_name)

    def row_shards(self, variable):
        distribution = keras.distribution.distribution()
        if distribution is None:
            return 1
        return _devices(distribution, distribution.get_variable_layout(variable).axes[0])

    def on_host(self, function, rows, outputs):
        shapes = [self.jax.ShapeDtypeStruct((rows.shape[0], *s), dtype) for s, dtype in outputs]
        return self.jax.pure_callback(lambda x: function(np.asarray(x)), tuple(shapes), rows)

    def bits(self, tensor, dtype):
        return self.jax.lax.bitcast_convert_type(tensor, dtype)

    def positive_definite(self, real, imag):
        factors = self.jax.numpy.linalg.cholesky(self.jax.lax.complex(real, imag))
        return ops.all(ops.isfinite(factors.real))

    def is_concrete(self, tensor):
        return not isinstance(tensor, self.jax.core.Tracer)

    def adjustable(self, number):
        return AdjustableOnHost(self.jax, number)


class _AssignedScope(InnerScope):
    """Lists the variables that are assigned, and drops what: it may come from any inner program."""

    def __init__(self):
        super().__init__()
        self.assigned = []

    def add_update(self, update):
        if all(update[0] is not variable for variable in self.assigned):
            self.assigned.append(update[0])


def _assign(variables, values):
    for variable, value in zip(variables, values):
        variable.assign(value)


def _scope():
    """The scope of Keras that takes what is assigned to variables, or None."""
    with keras.StatelessScope(initialize_variables=False) as scope:
        return scope.original_scope


def _devices(distribution, axis):
    """How many devices a distribution has along an axis of its mesh; 1 without one."""
    mesh = distribution.device_mesh
    return dict(zip(mesh.axis_names, mesh.shape)).get(axis, 1)


class AdjustableOnHost:
    """A JAX program only sees variables passed as arguments, and Keras passes none of a loss.

    Until first assigned, the number is a constant of the program and costs nothing; from then on
    every run asks the host for it.
    """

    def __init__(self, jax, number):
        self._jax = jax
        self._number = np.float32(number)
        self._changes = False

    def read(self):
        if not self._changes:
            return ops.convert_to_tensor(self._number)
        shape = self._jax.ShapeDtypeStruct((), "float32")
        return self._jax.experimental.io_callback(lambda: self._number, shape)

    def assign(self, number):
        # Steps already dispatched must finish with the number they were given.
        self._jax.effects_barrier()
        if not self._changes:
            self._jax.clear_caches()
            self._changes = True
        self._number = np.float32(number)
