"""Functions of tensors that the framework compiles."""

from lipot.backend.chosen import engine


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
            `model(x, training=False)`. It may take input gradients of `forward`.

    Returns:
        A callable of `*tensors`. It always sees the model's current weights and changes none.
    """
    return engine.compile_over(model, function)


def compile_over_batches(model, function):
    """`compile_over` for functions of batches alone: one TensorFlow program serves every size.

    `compile_over` itself makes one for the first size and another for the rest.
    """
    return engine.compile_over_batches(model, function)


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
    return engine.fuse(function, rowwise)


def shared(function, *static):
    """A function of tensors, traced once for all who ask for it with equal arguments.

    A network has many layers of one kind and size: on TensorFlow, compiled code that calls the
    function twenty times would else hold it, and take the time to trace it, twenty times.

    Args:
        function: Callable `(tensors, *static)` that reads no variable.
        *static: Its other arguments, which must be hashable and never change.

    Returns:
        A callable of the tensors, any nest of them.
    """
    return engine.shared(function, *static)
