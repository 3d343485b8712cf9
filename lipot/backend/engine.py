"""What the engines of all frameworks share."""

import contextlib
import dataclasses
from typing import Any

import keras
from keras import ops


@dataclasses.dataclass(frozen=True)
class Replica:
    """One of the copies of a program that share a batch.

    Attributes:
        index: Its place among them, an integer or a tensor.
        count: How many there are.
    """

    index: Any
    count: int


class Engine:
    """Derivatives and compiled calls of one framework.

    The functions of `lipot.backend` say what each method does. A framework's own engine defines
    `value_and_input_gradient`, `pullback`, `compile`, `compile_over`, `bits` and `is_concrete`, and
    `on_host` if its programs are traced; what has a default is defined here.
    """

    # Unsigned ones: TensorFlow keeps int32 in host memory.
    bits_dtypes = {
        "float64": "uint64",
        "float32": "uint32",
        "bfloat16": "uint16",
        "float16": "uint16",
    }

    compiles_loops_well = True
    compiles_derivatives = True

    def compile_over_batches(self, model, function):
        return self.compile_over(model, function)

    def compile_rowwise(self, function, rowwise):
        return function

    def as_one_kernel(self, function, derivative):
        return function

    def traced_once(self, function):
        return function

    def traced_for_all_sizes(self, function):
        return function

    def at_once(self, tensors):
        return contextlib.nullcontext()

    def can_assign(self, variable):
        return True

    def few_shapes(self, arrays):
        return arrays

    # Outside of compiled code JAX would compile loops and conditions anew at each call.

    def while_loop(self, unfinished, iterate, state):
        if not self.is_concrete(state[-1]):
            return ops.while_loop(unfinished, iterate, tuple(map(ops.convert_to_tensor, state)))
        while unfinished(*state):
            state = iterate(*state)
        return state

    def repeat(self, count, step, state):
        return ops.fori_loop(0, count, step, state)

    def repeat_recomputed(self, count, step, state, fixed, variables):
        if count == 1:
            return step(0, state, *fixed)
        trained = [variable for variable in variables if variable.trainable]
        others = [variable for variable in variables if not variable.trainable]
        assigned = set()

        def carrying(index, loop, fixed, weights):
            state, carried = loop
            # As arguments: a step computed again reads what the first one read, random states too.
            with InnerScope([*zip(trained, weights), *zip(others, carried)]) as scope:
                before = scope.values(others)
                state = step(index, state, *fixed)
                after = scope.values(others)
            assigned.update(
                n for n, pair in enumerate(zip(before, after)) if pair[0] is not pair[1]
            )
            return state, after

        recomputed, weights = self.recomputed(carrying), values_of(trained)

        def body(index, loop):
            return recomputed(index, loop, fixed, weights)

        # PyTorch assigns in place, to what a step computed again would read.
        start = (state, [ops.copy(value) for value in values_of(others)])
        state, carried = ops.fori_loop(0, count, body, start)
        for place in sorted(assigned):
            others[place].assign(carried[place])
        return state

    def recomputed(self, function):
        """A function of nested tensors whose derivative computes it again and keeps none of it."""
        return keras.remat(function)

    def repeat_while(self, unfinished, step, state):
        return ops.while_loop(unfinished, step, tuple(state))

    def cond(self, condition, then, otherwise):
        if not self.is_concrete(condition):
            return ops.cond(condition, then, otherwise)
        return then() if condition else otherwise()

    def sum_over_replicas(self, tensor):
        return ops.stop_gradient(tensor)

    def gather_over_replicas(self, tensor):
        return tensor

    def run_lite(self, path, inputs):
        raise ValueError(
            "Invalid value received for argument `path`. Expected a format that is no .tflite: "
            f"those need the TensorFlow backend. Received: {path} on {keras.backend.backend()}"
        )

    def devices(self):
        return {name.partition(":")[0] for name in keras.distribution.list_devices()}

    def shards(self):
        return 1

    def row_shards(self, variable):
        return 1

    def replicas_take_turns(self):
        return contextlib.nullcontext()

    def replica(self):
        return Replica(0, 1)

    def full_precision(self):
        return contextlib.nullcontext()

    def adjustable(self, number):
        return AdjustableVariable(number)

    def devices_scope(self, count):
        raise ValueError(
            "Invalid value received for argument `devices`. Expected 1 on this backend: on JAX, "
            "set keras.distribution.DataParallel() in a program of your own. "
            f"Received: devices={count} on {keras.backend.backend()}"
        )

    def worker(self):
        return None

    def variable_bits_dtype(self, dtype):
        return dtype if self.worker() is None else "int64"

    def is_sparse(self, tensor):
        return False

    def swap_pairs(self, inputs, swapped):
        pairs = ops.reshape(inputs, (-1, 2))
        pairs = ops.where(swapped[:, None], ops.flip(pairs, axis=-1), pairs)
        return ops.reshape(pairs, ops.shape(inputs))

    def unsorted_pairs(self, inputs):
        pairs = ops.reshape(inputs, (-1, 2))
        return ops.greater(pairs[:, 0], pairs[:, 1])

    def sort_pairs(self, inputs):
        return self.swap_pairs(inputs, self.unsorted_pairs(inputs))

    def sort_pairs_fused(self, inputs):
        return self.sort_pairs(inputs)


class AdjustableVariable:
    """A number kept in a Keras variable."""

    def __init__(self, number):
        self._variable = keras.Variable(number, dtype="float32", trainable=False, autocast=False)

    def read(self):
        return ops.stop_gradient(self._variable.value)

    def assign(self, number):
        self._variable.assign(number)


class InnerScope(keras.StatelessScope):
    """Keeps what is assigned to variables from the scope around it, whose values it reads.

    What a loop of JAX assigns has no value outside of it. Losses of `add_loss` are dropped.
    """

    def __init__(self, values=()):
        super().__init__(state_mapping=list(values), initialize_variables=False)

    def get_current_value(self, variable):
        value = super().get_current_value(variable)
        if value is None and self.original_scope is not None:
            return self.original_scope.get_current_value(variable)
        return value

    def values(self, variables):
        """The values of variables in here, those around the scope where none was given."""
        return [self.get_current_value(variable) for variable in variables]


def values_of(variables):
    """What variables hold, each in its own type: where a layer computes in another, it casts."""
    return [ops.cast(variable.value, variable.dtype) for variable in variables]


def constant_cotangent(cotangent, outputs):
    """Evaluates a cotangent that may depend on the outputs; it is not differentiated."""
    if callable(cotangent):
        cotangent = cotangent(outputs)
    return ops.stop_gradient(ops.cast(cotangent, outputs.dtype))
