"""Derivatives with respect to an input, which Keras offers on no backend."""

from keras import ops

from lipot.backend.running import engine


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
    return engine.value_and_input_gradient(function, ops.convert_to_tensor(inputs))


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
    return engine.pullback(function, ops.convert_to_tensor(inputs), variables)


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
