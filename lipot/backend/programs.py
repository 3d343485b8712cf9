"""Compiled programs, and what runs inside and outside of them alike."""

import numpy as np
from keras import ops

from lipot.backend.running import engine


def compile(function):
    """Compiles a stateless function of tensors with the framework's own compiler.

    Args:
        function: Callable of tensors that reads no variable.

    Returns:
        A callable with the same arguments; NumPy arrays are accepted.
    """
    return engine.compile(function)


def compile_over(model, function):
    """Compiles a computation that calls a model in inference mode.

    Args:
        model: A built Keras model.
        function: Callable `(forward, *tensors)`, where `forward(x)` is
            `model(x, training=False)`. It may take input gradients of `forward`, and call parts of
            the model itself.

    Returns:
        A callable of `*tensors`. It always sees the model's current weights and changes none.
    """
    return engine.compile_over(model, function)


def compile_over_batches(model, function):
    """`compile_over` for functions of batches alone: one TensorFlow program serves every size.

    `compile_over` itself makes one for the first size and another for the rest.
    """
    return engine.compile_over_batches(model, function)


def compile_rowwise(function, rowwise):
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
    >>> double = compile_rowwise(lambda x: 2.0 * x, 1)
    >>> [float(v) for v in double(ops.ones((2, 1)))[:, 0]]
    [2.0, 2.0]
    """
    return engine.compile_rowwise(function, rowwise)


def as_one_kernel(function, derivative):
    """A function of a tensor that is one kernel on TensorFlow, as is its derivative.

    TensorFlow reads and writes a tensor once for each operation. A kernel is compiled once for each
    shape it meets, in some tenths of a second: it pays in training, where batches keep their size.

    Args:
        function: Function `(tensor, *settings) -> result` of a module. Settings are hashable.
        derivative: Function `(tensor, result, gradient, *settings) -> gradient` of a module: the
            gradient of a number with respect to the tensor, from that with respect to the result.

    Returns:
        `function`, with the derivative on TensorFlow. Other frameworks differentiate it themselves.

    Example:

    >>> from keras import ops
    >>> square = as_one_kernel(lambda x: x * x, lambda x, result, gradient: 2.0 * x * gradient)
    >>> float(square(ops.convert_to_tensor(3.0)))
    9.0
    """
    return engine.as_one_kernel(function, derivative)


def traced_once(function):
    """A function of tensors that is traced and optimized once for all programs that call it.

    A program that calls many equal functions, as a network of many equal layers does, is then built
    in the time of those that differ.

    Args:
        function: Hashable callable of tensors that reads no variable. Callables that are equal
            must compute the same.

    Returns:
        A callable with the same arguments and outputs. On JAX and PyTorch it is the function.

    Example:

    >>> from keras import ops
    >>> double = traced_once(lambda x: 2.0 * x)
    >>> float(double(ops.convert_to_tensor(3.0)))
    6.0
    """
    return engine.traced_once(function)


def traced_for_all_sizes(function):
    """A function of tensors that is traced once for each number of their axes and their dtypes.

    Args:
        function: Callable of tensors that reads no variable and no size of an axis.

    Returns:
        A callable with the same arguments and outputs. On JAX and PyTorch it is the function.

    Example:

    >>> from keras import ops
    >>> total = traced_for_all_sizes(ops.sum)
    >>> [float(total(ops.ones((n, 2)))) for n in (1, 2, 3)]
    [2.0, 4.0, 6.0]
    """
    return engine.traced_for_all_sizes(function)


def at_once(tensors):
    """A context in which what is computed from some tensors has values, where they have.

    A program of JAX computes nothing while it is traced, not even from constants. What is assigned
    to a variable there has no value either, and is of no use once the program is traced: unless it
    is one of Keras, which returns what is assigned.

    Args:
        tensors: List of all tensors that are read inside.

    Example:

    >>> from keras import ops
    >>> one = ops.ones(())
    >>> with at_once([one]):
    ...     is_concrete(one + one)
    True
    """
    return engine.at_once(tensors)


def can_assign(variable):
    """Whether what is computed here may be assigned to a variable.

    On JAX it may not inside of a loop or a branch, which is a program of its own within that of a
    model, such as the steps of `keras.layers.RNN`: nothing leaves it but what it returns. The loops
    of `repeat` and `repeat_while` return what is assigned.

    Example:

    >>> import keras
    >>> can_assign(keras.Variable([1.0]))
    True
    """
    return engine.can_assign(variable)


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
    return tuple(ops.stop_gradient(part) for part in engine.on_host(arrays, rows, outputs))


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
    return engine.run_lite(path, inputs)


def while_loop(unfinished, iterate, state):
    """`ops.while_loop`, or a loop of Python where the last of the state has a value."""
    return engine.while_loop(unfinished, iterate, state)


def repeat(count, step, state):
    """`ops.fori_loop` from 0, whose steps may call models.

    A model may assign variables when it is called: the state of a random layer, a kernel that is
    kept. On JAX these are handed from step to step; elsewhere they are anyway.

    Args:
        count: Int, the number of steps.
        step: Function `(index, state) -> state`.
        state: Nested tensors.

    Example:

    >>> from keras import ops
    >>> float(repeat(3, lambda index, x: 2.0 * x, ops.ones(())))
    8.0
    """
    return engine.repeat(count, step, state)


def repeat_recomputed(count, step, state, fixed=(), variables=()):
    """`repeat` whose derivative keeps the states between steps alone.

    It computes each step again from the state before it, so that memory does not grow with what a
    step computes.

    Args:
        count: Int, the number of steps.
        step: Function `(index, state, *fixed) -> state`.
        state: Nested tensors.
        fixed: Tensors that are the same for all steps. Derivatives reach these and the first
            state; what else a step closes over is a constant to those of TensorFlow.
        variables: List of all variables of the models that a step calls.

    Example:

    >>> from keras import ops
    >>> float(repeat_recomputed(3, lambda index, x, y: x * y, ops.ones(()), [2.0 * ops.ones(())]))
    8.0
    """
    return engine.repeat_recomputed(count, step, state, list(fixed), variables)


def repeat_while(unfinished, step, state):
    """`ops.while_loop` over a tuple, whose steps may call models as those of `repeat` may.

    Example:

    >>> from keras import ops
    >>> (x,) = repeat_while(lambda x: x < 5.0, lambda x: (2.0 * x,), (ops.ones(()),))
    >>> float(x)
    8.0
    """
    return engine.repeat_while(unfinished, step, state)


def cond(condition, then, otherwise):
    """`ops.cond`, or a choice of Python where the condition has a value."""
    return engine.cond(condition, then, otherwise)


def is_concrete(tensor):
    """Tells whether a tensor has values now (False while a program is being traced)."""
    return engine.is_concrete(tensor)


def few_shapes(arrays):
    """Repeats the last rows of arrays where the framework would compile anew for each number.

    Attacks that drop finished points call programs with ever fewer rows.

    Args:
        arrays: List of arrays with the same number of rows, one or more.

    Returns:
        The arrays; on JAX with a power of two of rows.
    """
    return engine.few_shapes(arrays)


def compiles_loops_well():
    """Whether XLA makes loops around a model no slower: what a model sets `supports_jit` to.

    TensorFlow's runs convolutions inside a loop ten times slower on a CPU, so that
    `compile(jit_compile="auto")` must not choose it. JAX has no other way to compile.
    """
    return engine.compiles_loops_well


def compiles_derivatives():
    """Whether `jit_compile=True` holds for steps that differentiate a derivative.

    PyTorch's compiler fails at them after minutes: what sets `supports_jit` to this is then left as
    it is, and Keras says so.
    """
    return engine.compiles_derivatives
