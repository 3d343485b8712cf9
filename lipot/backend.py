"""The one door to the frameworks: input gradients, Jacobian products and compiled calls.

Everything else in lipot is written with `keras.ops`. Keras offers no portable derivative with
respect to an input, so this file adds exactly that for TensorFlow, JAX and PyTorch.
"""

import functools

import keras
import numpy as np
from keras import ops


def value_and_input_gradient(function, inputs):
    """Evaluates a scalar function and its gradient with respect to one tensor.

    Args:
        function: Callable from a tensor shaped like `inputs` to a scalar tensor. On JAX it must
            not update variables (call models with `training=False`), or tracers leak.
        inputs: Float tensor at which to differentiate.

    Returns:
        `(value, gradient)`: the scalar and a tensor shaped like `inputs`. The gradient is cut
        from any surrounding differentiation; see `vjp` for one that is not.

    Example:

    >>> from keras import ops
    >>> value, gradient = value_and_input_gradient(
    ...     lambda x: ops.sum(x**2), ops.convert_to_tensor([1.0, 3.0]))
    >>> float(value), [float(g) for g in gradient]
    (10.0, [2.0, 6.0])
    """
    return _engine.value_and_input_gradient(function, ops.convert_to_tensor(inputs))


def vjp(function, inputs, cotangent):
    """Computes the vector-Jacobian product `J(inputs)^T cotangent`.

    Args:
        function: Callable from a tensor shaped like `inputs` to a tensor.
        inputs: Float tensor at which to differentiate.
        cotangent: Tensor shaped like the output, or a callable that takes the outputs and
            returns it; it is treated as a constant.

    Returns:
        `(outputs, gradient)`: both can be differentiated again, so that a penalty on the
        gradient trains the weights inside `function`.

    Example:

    >>> from keras import ops
    >>> outputs, gradient = vjp(
    ...     lambda x: ops.stack([2.0 * x[0], x[0] * x[1]]),
    ...     ops.convert_to_tensor([3.0, 5.0]), ops.convert_to_tensor([1.0, 10.0]))
    >>> [float(g) for g in gradient]
    [52.0, 30.0]
    """
    outputs, _, pull = pullback(lambda x: (function(x), ()), inputs)
    return outputs, pull(cotangent)


def pullback(function, inputs, variables=()):
    """Evaluates a function once and keeps what its vector-Jacobian products need.

    Args:
        function: Callable from a tensor to `(outputs, auxiliary)`: a tensor, and anything else
            that the same evaluation yields.
        inputs: Float tensor at which to differentiate.
        variables: Every Keras variable `function` reads, if it may assign some of them, as a
            model called with `training=True` does.

    Returns:
        `(outputs, auxiliary, pull)`, where `pull(cotangent)` is `J(inputs)^T cotangent`, with
        the cotangent as in `vjp`. All of it can be differentiated again.
    """
    return _engine.pullback(function, ops.convert_to_tensor(inputs), variables)


def batch_jacobian(function, inputs):
    """Computes the Jacobian of each row's outputs with respect to that row.

    Args:
        function: Callable from a tensor `(batch, ...)` to one `(batch, classes)`, in which each
            row of the outputs depends on the same row of the inputs alone.
        inputs: Float tensor at which to differentiate.

    Returns:
        `(outputs, jacobian)`: the second of shape `(batch, classes, ...)`, cut from any
        surrounding differentiation. The outputs are computed once, whatever their number, but
        the compiled program grows with it.

    Example:

    >>> from keras import ops
    >>> outputs, jacobian = batch_jacobian(
    ...     lambda x: ops.stack([2.0 * x[:, 0], x[:, 0] * x[:, 1]], axis=1),
    ...     ops.convert_to_tensor([[3.0, 5.0]]))
    >>> [[float(entry) for entry in row] for row in jacobian[0]]
    [[2.0, 0.0], [5.0, 3.0]]
    """
    outputs, _, pull = pullback(lambda x: (function(x), None), ops.stop_gradient(inputs))
    # One backward pass a class: vectorized over the classes, the activations would be copied for
    # each of them, which takes twice the time on a CNN with pooling.
    selectors = ops.unstack(ops.eye(outputs.shape[1], dtype=outputs.dtype))
    rows = [pull(ops.broadcast_to(row, ops.shape(outputs))) for row in selectors]
    return outputs, ops.stop_gradient(ops.stack(rows, axis=1))


def compile(function):
    """Compiles a stateless function of tensors with the framework's own compiler.

    Args:
        function: Callable of tensors that reads no variable.

    Returns:
        A callable with the same arguments; NumPy arrays are accepted.
    """
    return _engine.compile(function)


def compile_over(model, function):
    """Compiles a computation that calls a model in inference mode.

    Args:
        model: A built Keras model.
        function: Callable `(forward, *tensors)`, where `forward(x)` is
            `model(x, training=False)`. It may take input gradients of `forward`.

    Returns:
        A callable of `*tensors`. It always sees the model's current weights and changes none.
    """
    return _engine.compile_over(model, function)


def compile_over_batches(model, function):
    """`compile_over` for functions of batches alone: one TensorFlow program serves every size.

    `compile_over` itself makes one for the first size and another for the rest.
    """
    return _engine.compile_over_batches(model, function)


def sum_over_replicas(tensor):
    """Adds a tensor up over the replicas of the running `tf.distribute` strategy.

    Args:
        tensor: Tensor that exists on each replica, such as the class counts of its share.

    Returns:
        The sum on every replica; `tensor` itself outside a replica, and on JAX and PyTorch
        (JAX programs see the whole batch however it is sharded).
    """
    return _engine.sum_over_replicas(tensor)


def is_concrete(tensor):
    """Tells whether a tensor has values now (False while a program is being traced)."""
    return _engine.is_concrete(tensor)


def adjustable(number):
    """Makes a float32 scalar that compiled programs see change.

    Args:
        number: Float, the first value.

    Returns:
        An object with `read()`, the scalar tensor to compute with, and `assign(number)`.
    """
    return _engine.adjustable(float(number))


class _AdjustableVariable:
    def __init__(self, number):
        self._variable = keras.Variable(number, dtype="float32", trainable=False, autocast=False)

    def read(self):
        return ops.stop_gradient(self._variable.value)

    def assign(self, number):
        self._variable.assign(number)


class _AdjustableOnHost:
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


def _constant_cotangent(cotangent, outputs):
    if callable(cotangent):
        cotangent = cotangent(outputs)
    return ops.stop_gradient(ops.cast(cotangent, outputs.dtype))


class _Engine:
    def compile_over_batches(self, model, function):
        return self.compile_over(model, function)

    def sum_over_replicas(self, tensor):
        return tensor

    def adjustable(self, number):
        return _AdjustableVariable(number)


class _TensorFlowEngine(_Engine):
    def __init__(self):
        import tensorflow

        self.tf = tensorflow

    def value_and_input_gradient(self, function, inputs):
        inputs = self.tf.stop_gradient(inputs)
        with self.tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            value = function(inputs)
        gradient = tape.gradient(value, inputs, unconnected_gradients="zero")
        return value, self.tf.stop_gradient(gradient)

    def pullback(self, function, inputs, variables):
        with self.tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            outputs, auxiliary = function(inputs)

        def pull(cotangent):
            return tape.gradient(outputs, inputs, _constant_cotangent(cotangent, outputs), "zero")

        return outputs, auxiliary, pull

    def compile(self, function):
        return self.tf.function(function, reduce_retracing=True)

    def compile_over(self, model, function):
        forward = functools.partial(model, training=False)
        return self.tf.function(functools.partial(function, forward), reduce_retracing=True)

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
        replica = self.tf.distribute.get_replica_context()
        if replica is None or replica.num_replicas_in_sync == 1:
            return tensor
        return replica.all_reduce(self.tf.distribute.ReduceOp.SUM, tensor)

    def is_concrete(self, tensor):
        return not self.tf.is_symbolic_tensor(tensor)


class _JaxEngine(_Engine):
    def __init__(self):
        import jax
        import jax.experimental

        self.jax = jax

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
        return outputs, auxiliary, lambda c: pull(_constant_cotangent(c, outputs))[0]

    def compile(self, function):
        return self.jax.jit(function)

    def compile_over(self, model, function):
        @self.jax.jit
        def run(trainable, non_trainable, *tensors):
            def forward(x):
                return model.stateless_call(trainable, non_trainable, x, training=False)[0]

            return function(forward, *tensors)

        def call(*tensors):
            # The weights travel as arguments: closed over, they would be baked into the program.
            trainable = [v.value for v in model.trainable_variables]
            non_trainable = [v.value for v in model.non_trainable_variables]
            return run(trainable, non_trainable, *tensors)

        return call

    def is_concrete(self, tensor):
        return not isinstance(tensor, self.jax.core.Tracer)

    def adjustable(self, number):
        return _AdjustableOnHost(self.jax, number)


class _TorchEngine(_Engine):
    def __init__(self):
        import torch

        self.torch = torch

    def value_and_input_gradient(self, function, inputs):
        inputs = inputs.detach().requires_grad_(True)
        with self.torch.enable_grad():
            value = function(inputs)
            (gradient,) = self.torch.autograd.grad(value, inputs, materialize_grads=True)
        return value, gradient.detach()

    def pullback(self, function, inputs, variables):
        with self.torch.enable_grad():
            if not inputs.requires_grad:
                inputs = inputs.detach().requires_grad_(True)
            outputs, auxiliary = function(inputs)

        def pull(cotangent):
            cotangent = _constant_cotangent(cotangent, outputs)
            (gradient,) = self.torch.autograd.grad(
                outputs, inputs, cotangent, create_graph=True, materialize_grads=True
            )
            return gradient

        return outputs, auxiliary, pull

    def compile(self, function):
        return self._on_tensors(function)

    def compile_over(self, model, function):
        forward = functools.partial(model, training=False)
        return self._on_tensors(functools.partial(function, forward))

    def _on_tensors(self, function):
        # Eager PyTorch needs no tracing; torch.compile costs minutes of start-up on a CPU.
        def call(*tensors):
            with self.torch.no_grad():
                return function(*(ops.convert_to_tensor(tensor) for tensor in tensors))

        return call

    def is_concrete(self, tensor):
        return tensor.device.type != "meta"


_ENGINES = {"tensorflow": _TensorFlowEngine, "jax": _JaxEngine, "torch": _TorchEngine}


def _start_engine():
    name = keras.backend.backend()
    if name not in _ENGINES:
        raise ImportError(
            "lipot needs a Keras backend that can differentiate. Expected KERAS_BACKEND to be "
            f"one of {sorted(_ENGINES)}. Received: {name}"
        )
    return _ENGINES[name]()


_engine = _start_engine()
