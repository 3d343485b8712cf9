"""TensorFlow's derivatives, compiled calls and fast paths."""

import contextlib
import functools

import keras

from lipot.backend.engine import Engine, Replica, constant_cotangent
from lipot.backend.keras_graph import added_losses_put_back

# Fused programs are compiled for multiples of so many rows.
_ROWS = 32


class TensorFlowEngine(Engine):
    """The engine of TensorFlow."""

    compiles_loops_well = False

    def __init__(self):
        import tensorflow

        self.tf = tf = tensorflow
        self.traced_once = functools.lru_cache(maxsize=256)(self._traced_once)
        self.traced_for_all_sizes = functools.lru_cache(maxsize=64)(self._traced_for_all_sizes)
        # Traced for each shape: a kernel may need the numbers.
        self._kernel = functools.lru_cache(maxsize=64)(
            functools.partial(self._program, jit_compile=True)
        )
        # For each float: the unsigned integers of two of it and of one, the signed one of two,
        # and the width of one in bits.
        self._pair_types = {
            tf.float32: (tf.uint64, tf.uint32, tf.int64, 32),
            tf.bfloat16: (tf.uint32, tf.uint16, tf.int32, 16),
            tf.float16: (tf.uint32, tf.uint16, tf.int32, 16),
        }

    def value_and_input_gradient(self, function, inputs):
        inputs = self.tf.stop_gradient(inputs)
        with self.tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            value = function(inputs)
        # The gradient of a gathered tensor is summed over the replicas.
        with self.replicas_take_turns():
            gradient = tape.gradient(value, inputs, unconnected_gradients="zero")
        return value, self.tf.stop_gradient(gradient)

    def pullback(self, function, inputs, variables):
        with self.tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            outputs, auxiliary = function(inputs)

        def pull(cotangent):
            cotangent_of_outputs = constant_cotangent(cotangent, outputs)
            with self.replicas_take_turns():
                return tape.gradient(outputs, inputs, cotangent_of_outputs, "zero")

        return outputs, auxiliary, pull

    def _program(self, function, **options):
        # Keras traces models without AutoGraph, so nothing can rely on it; to rewrite the source of
        # every function that is met takes longer than to trace it.
        return self.tf.function(function, autograph=False, **options)

    def recomputed(self, function):
        # `keras.remat` fails in a loop, at the variables that it would read again.
        def call(*arguments):
            structure = []

            def compute(*tensors):
                outputs = function(*keras.tree.pack_sequence_as(arguments, tensors))
                structure[:] = [outputs]
                return keras.tree.flatten(outputs)

            @self.tf.custom_gradient
            def computed(*tensors):
                derivative = functools.partial(self._pulled_again, compute, tensors)
                return compute(*tensors), derivative

            outputs = computed(*keras.tree.flatten(arguments))
            return keras.tree.pack_sequence_as(structure[0], outputs)

        return call

    def _pulled_again(self, function, tensors, *cotangents):
        """Computes a function again, and the gradients for cotangents of its outputs."""
        # Copies, since a tape in a loop does not follow what it gets from another program.
        tensors = [self.tf.identity(tensor) for tensor in tensors]
        floats = [tensor for tensor in tensors if tensor.dtype.is_floating]
        with self.tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(floats)
            outputs = function(*tensors)
        known = [place for place, output in enumerate(outputs) if output.dtype.is_floating]
        outputs, cotangents = (
            [values[place] for place in known] for values in (outputs, cotangents)
        )
        gradients = iter(tape.gradient(outputs, floats, cotangents, "zero"))
        return [next(gradients) if tensor.dtype.is_floating else None for tensor in tensors]

    def compile(self, function):
        return self._program(function, reduce_retracing=True)

    def compile_rowwise(self, function, rowwise):
        tf = self.tf
        # Traced anew for other widths: loops over them need their numbers.
        program = self._program(function, jit_compile=True)

        def call(*tensors):
            # Of the last one, a gradient's upstream: the first may come out of a branch, and XLA
            # does not know the shape of what does.
            rows = tf.shape(tensors[rowwise - 1])[0]
            padding = [[0, -rows % _ROWS], [0, 0]]
            padded = [tf.pad(tensor, padding) for tensor in tensors[:rowwise]]
            outputs = program(*padded, *tensors[rowwise:])
            if not isinstance(outputs, tuple):
                return outputs[:rows]
            return outputs[0][:rows], *outputs[1:]

        return call

    def as_one_kernel(self, function, derivative):
        forward, backward = self._kernel(function), self._kernel(derivative)

        def call(tensor, *settings):
            @self.tf.custom_gradient
            def with_derivative(tensor):
                result = forward(tensor, *settings)
                return result, lambda gradient: backward(tensor, result, gradient, *settings)

            return with_derivative(tensor)

        return call

    def _traced_once(self, function):
        return functools.partial(self._called_as_traced, self._kept_apart(function))

    def _traced_for_all_sizes(self, function):
        program = self._kept_apart(function)

        @functools.cache
        def trace(*kinds):
            specs = (self.tf.TensorSpec([None] * axes, dtype) for axes, dtype in kinds)
            program.get_concrete_function(*specs)

        def call(*tensors):
            # A call takes the most general trace that fits it.
            trace(*((len(tensor.shape), tensor.dtype) for tensor in tensors))
            return self._called_as_traced(program, *tensors)

        return call

    def _kept_apart(self, function):
        # Inlined, each call would be optimized for itself.
        return self._program(function, experimental_attributes={"_noinline": True})

    def _called_as_traced(self, program, *tensors):
        """Calls a program that is kept apart, without a pass of TensorFlow's optimizer over it.

        TensorFlow makes that pass anew for each call in a graph, and its first run takes longer
        for it; later runs gain nothing.
        """
        optimizer, name = self.tf.config.optimizer, "disable_meta_optimizer"
        before = optimizer.get_experimental_options()[name]
        optimizer.set_experimental_options({name: True})
        try:
            return program(*tensors)
        finally:
            optimizer.set_experimental_options({name: before})

    def compile_over(self, model, function):
        forward = functools.partial(model, training=False)
        return self._program(functools.partial(function, forward), reduce_retracing=True)

    def compile_over_batches(self, model, function):
        compiled = self.compile_over(model, function)

        @functools.cache
        def trace(*specs):
            batches = (self.tf.TensorSpec((None, *shape), dtype) for shape, dtype in specs)
            compiled.get_concrete_function(*batches)

        def call(*batches):
            trace(*((tuple(batch.shape[1:]), batch.dtype) for batch in batches))
            return compiled(*batches)

        return call

    def sum_over_replicas(self, tensor):
        context = self._shared_context()
        if context is None:
            return self.tf.stop_gradient(tensor)
        # Left to the tape, a replica whose share has a static shape might not differentiate a sum
        # that another one does, and each would wait for the other.
        tensor = self.tf.stop_gradient(tensor)
        with added_losses_put_back():
            return context.all_reduce(self.tf.distribute.ReduceOp.SUM, tensor)

    def gather_over_replicas(self, tensor):
        context = self._shared_context()
        if context is None:
            return tensor
        with added_losses_put_back():
            return context.all_gather(tensor, axis=0)

    def replicas_take_turns(self):
        alone = self._shared_context() is None
        return contextlib.nullcontext() if alone else added_losses_put_back()

    def replica(self):
        context = self._shared_context()
        if context is None:
            return Replica(0, 1)
        return Replica(context.replica_id_in_sync_group, context.num_replicas_in_sync)

    def _shared_context(self):
        """The context of this replica, or `None` where there is no other."""
        context = self.tf.distribute.get_replica_context()
        return None if context is None or context.num_replicas_in_sync == 1 else context

    def on_host(self, function, rows, outputs):
        dtypes = [self.tf.as_dtype(dtype) for _, dtype in outputs]
        found = self.tf.numpy_function(function, [rows], dtypes, stateful=False)
        for tensor, (shape, _) in zip(found, outputs):
            tensor.set_shape((rows.shape[0], *shape))
        return found

    def run_lite(self, path, inputs):
        interpreter = self.tf.lite.Interpreter(model_path=str(path))
        place = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(place, inputs.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(place, inputs)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    def is_sparse(self, tensor):
        return isinstance(tensor, self.tf.SparseTensor)

    def adjustable(self, number):
        # A program may make no variable where it is traced again.
        inside = not self.tf.executing_eagerly()
        return NumberOfProgram(self.tf, number) if inside else super().adjustable(number)

    def bits(self, tensor, dtype):
        return self.tf.bitcast(tensor, dtype)

    def positive_definite(self, real, imag):
        tf = self.tf
        # `ops.cholesky` raises where a factorization fails. This one gives NaNs or zeros.
        factors = tf.linalg.cholesky(tf.complex(real, imag))
        return tf.reduce_all(tf.linalg.diag_part(tf.math.real(factors)) > 0)

    def devices_scope(self, count):
        logical = self.tf.config.list_logical_devices
        names = [device.name for device in logical("GPU") or logical("CPU")]
        if count > len(names):
            raise ValueError(
                f"Invalid value received for argument `devices`. Expected at most {len(names)}, as "
                f"many as TensorFlow sees here. Received: devices={count}"
            )
        return self.tf.distribute.MirroredStrategy(names[:count]).scope()

    def worker(self):
        strategy = self.tf.distribute.get_strategy()
        if not isinstance(strategy, self.tf.distribute.MultiWorkerMirroredStrategy):
            return None
        return strategy.cluster_resolver.task_id or 0

    def is_concrete(self, tensor):
        return not self.tf.is_symbolic_tensor(tensor)

    def unsorted_pairs(self, inputs):
        if inputs.dtype not in self._pair_types:
            return super().unsorted_pairs(inputs)
        pair, single, _, bits = self._pair_types[inputs.dtype]
        pairs = self.tf.bitcast(self.tf.reshape(inputs, (-1, 2)), pair)
        first = self.tf.cast(pairs, single)
        second = self.tf.cast(self.tf.bitwise.right_shift(pairs, bits), single)
        first, second = (self.tf.bitcast(half, inputs.dtype) for half in (first, second))
        return first > second

    def swap_pairs(self, inputs, swapped):
        return self._permute(self._rotate, inputs, swapped)

    def sort_pairs_fused(self, inputs):
        @self.tf.custom_gradient
        def sort(inputs):
            outputs, swapped = self._sort_program(inputs)
            return outputs, lambda gradient: self._permute(self._swap_program, gradient, swapped)

        outputs = sort(inputs)
        outputs.set_shape(inputs.shape)
        return outputs

    def _permute(self, swap, inputs, swapped):
        """Calls `swap`, whose Jacobian is a symmetric permutation: `swap` itself."""

        @self.tf.custom_gradient
        def permute(inputs):
            return swap(inputs, swapped), lambda gradient: self._permute(swap, gradient, swapped)

        outputs = permute(inputs)
        outputs.set_shape(inputs.shape)
        return outputs

    def _rotate(self, inputs, swapped):
        """Rotates chosen pairs as one integer of twice the width: two floats move as one."""
        if inputs.dtype not in self._pair_types:
            return super().swap_pairs(inputs, swapped)
        tf = self.tf
        pair, _, signed, bits = self._pair_types[inputs.dtype]
        pairs = tf.bitcast(tf.reshape(inputs, (-1, 2)), pair)
        high, low = tf.bitwise.left_shift(pairs, bits), tf.bitwise.right_shift(pairs, bits)
        rotated = tf.bitcast(tf.bitwise.bitwise_or(high, low), signed)
        # Of the integers, GPUs select between signed ones only.
        pairs = tf.where(swapped, rotated, tf.bitcast(pairs, signed))
        return tf.reshape(tf.bitcast(pairs, inputs.dtype), tf.shape(inputs))

    @functools.cached_property
    def _sort_program(self):
        tf = self.tf

        def sort(inputs):
            pairs = tf.reshape(inputs, (-1, 2))
            partners = tf.reverse(pairs, [1])
            # For each value of its own: XLA reads a mask of pairs three times as slowly.
            swapped = tf.where([True, False], pairs > partners, partners > pairs)
            # The mask leaves the program: derivatives of every order read it.
            return self._swapped(inputs, swapped), swapped

        return self._fuse(sort)

    @functools.cached_property
    def _swap_program(self):
        return self._fuse(self._swapped)

    def _swapped(self, inputs, swapped):
        """Swaps chosen values with their partners, in one pass where XLA compiles it."""
        pairs = self.tf.reshape(inputs, (-1, 2))
        pairs = self.tf.where(swapped, self.tf.reverse(pairs, [1]), pairs)
        return self.tf.reshape(pairs, self.tf.shape(inputs))

    def _fuse(self, function):
        return self._program(function, jit_compile=True, reduce_retracing=True)


class NumberOfProgram:
    """A number of what was made inside a program, which holds it as a constant."""

    def __init__(self, tf, number):
        self._tf, self._number = tf, number

    def read(self):
        return self._tf.constant(self._number, "float32")

    def assign(self, number):
        if self._tf.executing_eagerly():
            raise ValueError(
                "A loss that was made inside a tf.function keeps its numbers: the program would "
                "not see them change. Expected a loss that was made outside. "
                f"Received: {number}"
            )
        self._number = number
