"""The one door to the frameworks: input gradients, Jacobian products and compiled calls.

Everything else in lipot is written with `keras.ops`. Keras offers no portable derivative with
respect to an input, so this file adds exactly that for TensorFlow, JAX and PyTorch.
"""

import keras
import numpy as np
from keras import ops

from lipot.backend.jax import JaxEngine
from lipot.backend.tensorflow import TensorFlowEngine
from lipot.backend.torch import TorchEngine


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
    inputs = ops.stop_gradient(ops.convert_to_tensor(inputs))
    outputs, _, pull = pullback(lambda x: (function(x), None), inputs)
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


def fuse(function, rowwise):
    """Compiles a function of tensors as one program, in which a loop holds what one step needs.

    On TensorFlow one is compiled for each number of rows, rounded up to a multiple of 32.

    Args:
        function: Callable of tensors that reads no variable. Zeros in additional rows must change
            nothing but rows of its first output.
        rowwise: Number of arguments that have a row for each sample, the first ones.

    Returns:
        A callable with the same arguments and outputs. JAX programs are such anyway; on PyTorch it
        is the function.

    Example:

    >>> from keras import ops
    >>> double = fuse(lambda x: 2.0 * x, 1)
    >>> [float(v) for v in double(ops.ones((2, 1)))[:, 0]]
    [2.0, 2.0]
    """
    return _engine.fuse(function, rowwise)


def sum_over_replicas(tensor):
    """Adds a tensor up over the replicas of the running `tf.distribute` strategy.

    Args:
        tensor: Tensor that exists on each replica, such as the class counts of its share.

    Returns:
        The sum on every replica, cut from differentiation; `tensor` itself, cut likewise, outside
        a replica, and on JAX and PyTorch (JAX programs see the whole batch however it is sharded).
    """
    return _engine.sum_over_replicas(tensor)


def on_host(function, rows, outputs):
    """Calls a function of NumPy arrays, from inside a compiled program too.

    Args:
        function: Callable from an array `(batch, ...)` to one array or a tuple of them, with a
            row for each of its rows.
        rows: Tensor `(batch, ...)`.
        outputs: List of pairs, the shape of one row of each result and its dtype.

    Returns:
        A tuple of tensors, cut from differentiation. XLA programs of TensorFlow cannot.

    Example:

    >>> from keras import ops
    >>> (doubled,) = on_host(lambda x: 2 * x, ops.convert_to_tensor([[1.0], [2.0]]),
    ...                      [((1,), "float32")])
    >>> [float(number) for number in doubled[:, 0]]
    [2.0, 4.0]
    """

    def arrays(rows):
        found = function(rows)
        found = found if isinstance(found, tuple) else (found,)
        return tuple(np.asarray(array, dtype) for array, (_, dtype) in zip(found, outputs))

    rows = ops.stop_gradient(rows)
    if is_concrete(rows):
        found = arrays(ops.convert_to_numpy(rows))
        return tuple(ops.convert_to_tensor(array) for array in found)
    return tuple(ops.stop_gradient(part) for part in _engine.on_host(arrays, rows, outputs))


def run_lite(path, inputs):
    """Runs a .tflite file.

    Args:
        path: The file, of a model with one input and one output.
        inputs: Float32 array `(n, ...)`.

    Returns:
        The outputs, an array `(n, ...)`.

    Raises:
        ValueError: The backend is not TensorFlow.
    """
    return _engine.run_lite(path, inputs)


def gather_over_replicas(tensor):
    """Joins the rows of a tensor over the replicas of the running `tf.distribute` strategy.

    Args:
        tensor: Tensor `(rows, ...)` that exists on each replica, with any number of rows.

    Returns:
        The rows of all replicas on every replica, in their order. The gradient of a row comes
        back to the replica that it is from, added up over all. `tensor` itself outside a replica,
        and on JAX and PyTorch.
    """
    return _engine.gather_over_replicas(tensor)


def replica():
    """Which replica of a `tf.distribute` strategy runs this code: `Replica(index, count)`.

    It is `Replica(0, 1)` outside one, and on JAX and PyTorch: JAX programs see the whole batch
    however it is sharded.
    """
    return _engine.replica()


def devices_scope(count):
    """Scope of a `tf.distribute.MirroredStrategy` over the first devices of this machine.

    Args:
        count: Number of devices: GPUs where there are any, else what TensorFlow takes a processor
            for.

    Raises:
        ValueError: If there are fewer, or the backend is not TensorFlow.
    """
    return _engine.devices_scope(count)


def worker():
    """Number of this process among those that share the strategy in whose scope it is.

    It is `None` where there are no others, as on JAX and PyTorch.
    """
    return _engine.worker()


def shards():
    """Over how many devices `keras.distribution` spreads a batch, which they must divide.

    It is 1 without a distribution, and on TensorFlow and PyTorch.
    """
    return _engine.shards()


def row_shards(variable):
    """Over how many devices `keras.distribution` spreads the rows of a variable.

    It is 1 without a distribution, and on TensorFlow and PyTorch.
    """
    return _engine.row_shards(variable)


def while_loop(unfinished, iterate, state):
    """`ops.while_loop`, or a loop of Python where the last of the state has a value."""
    return _engine.while_loop(unfinished, iterate, state)


def cond(condition, then, otherwise):
    """`ops.cond`, or a choice of Python where the condition has a value."""
    return _engine.cond(condition, then, otherwise)


def is_concrete(tensor):
    """Tells whether a tensor has values now (False while a program is being traced)."""
    return _engine.is_concrete(tensor)


def bits(tensor):
    """Reads the bits of a float tensor as integers of the same width.

    Example:

    >>> from keras import ops
    >>> [hex(int(i)) for i in bits(ops.convert_to_tensor([1.0, -2.0]))][0]
    '0x3f800000'
    """
    return _engine.bits(tensor, bits_dtype(tensor.dtype))


def bits_dtype(dtype):
    """Name of the integer type that `bits` gives for a float type."""
    return _engine.bits_dtypes[keras.backend.standardize_dtype(dtype)]


def variable_bits_dtype(dtype):
    """Name of the integer type of variables that hold such bits; `bits_dtype` or one that is wider.

    Workers that share a TensorFlow strategy send each other signed integers alone.
    """
    return _engine.variable_bits_dtype(bits_dtype(dtype))


def adjustable(number):
    """Makes a float32 scalar that compiled programs see change.

    Args:
        number: Float, the first value.

    Returns:
        An object with `read()`, the scalar tensor to compute with, and `assign(number)`.
    """
    return _engine.adjustable(float(number))


def sort_pairs(inputs):
    """Sorts each pair of neighbours along the last axis, the smaller one first.

    Args:
        inputs: Tensor with an even length along its last axis.

    Returns:
        Tensor shaped like `inputs`. A pair that holds a NaN is left as it is. The Jacobian is a
        permutation everywhere, at ties as well.

    Example:

    >>> from keras import ops
    >>> [float(v) for v in sort_pairs(ops.convert_to_tensor([3.0, 1.0, -2.0, 5.0]))]
    [1.0, 3.0, -2.0, 5.0]
    """
    return _engine.sort_pairs(inputs)


def sort_pairs_fused(inputs):
    """`sort_pairs` as one kernel on TensorFlow, which would read and write the tensor eight times.

    The kernel is compiled once for each shape it meets, in some tenths of a second: it pays in
    training, where batches keep their size, and not where they shrink.

    Args:
        inputs: As for `sort_pairs`.

    Returns:
        What `sort_pairs` returns, bit by bit.

    Example:

    >>> from keras import ops
    >>> [float(v) for v in sort_pairs_fused(ops.convert_to_tensor([3.0, 1.0, -2.0, 5.0]))]
    [1.0, 3.0, -2.0, 5.0]
    """
    return _engine.sort_pairs_fused(inputs)


_ENGINES = {"tensorflow": TensorFlowEngine, "jax": JaxEngine, "torch": TorchEngine}


def _start_engine():
    name = keras.backend.backend()
    if name not in _ENGINES:
        raise ImportError(
            "lipot needs a Keras backend that can differentiate. Expected KERAS_BACKEND to be "
            f"one of {sorted(_ENGINES)}. Received: {name}"
        )
    return _ENGINES[name]()


_engine = _start_engine()
