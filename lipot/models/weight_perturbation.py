"""A training step at the worst weights near the ones it is at."""

import contextlib

import keras
from keras import ops

from lipot.backend import pullback, sum_over_replicas
from lipot.models.weight_gradients import unflatten

# In half precision gradients of a loss as it is round to zero; only their direction counts here.
_SCALE = 1024.0


def at_perturbed_weights(model, outcome, gamma):
    r"""Evaluates an objective at weights moved to make it larger.

    $$ v_l = \gamma \, \|w_l\| \, \frac{\nabla_{w_l} L(w)}{\|\nabla_{w_l} L(w)\|} $$

    for each kernel $w_l$ of the classifier. The move is a constant for gradients, so that a step
    along those of $L(w + v)$ is a step at the worse weights that is then carried back by $v$.

    Args:
        model: The `lipot.AdversarialModel` in training.
        outcome: Callable without arguments that returns `(objective, *rest)` and may update
            variables of the model.
        gamma: Float, how far a kernel is moved as a share of its norm.

    Returns:
        What `outcome` returns at the perturbed weights. Only what it updates there is kept: batch
        statistics and random state are those of one pass. Keras on JAX hands out the penalties on
        weights as they were before the move.
    """
    kernels = [v for v in model.classifier.trainable_variables if len(v.shape) >= 2]
    held = [*model.variables, *model.metrics_variables]

    def objective(flat):
        with _values(held, kernels, unflatten(flat, kernels)):
            return _SCALE * outcome()[0], ()

    flat = ops.concatenate([ops.reshape(kernel, (-1,)) for kernel in kernels])
    value, _, pull = pullback(objective, flat)
    gradients = unflatten(pull(ops.ones_like(value)), kernels)
    moved = [
        kernel.value + ops.cast(_move(kernel, gradient, gamma), kernel.dtype)
        for kernel, gradient in zip(kernels, gradients)
    ]
    with _values(held, kernels, moved) as scope:
        before = [scope.get_current_value(variable) for variable in held]
        result = outcome()
    for variable, old in zip(held, before):
        # Replicas wait for each other wherever a variable is assigned.
        if (new := scope.get_current_value(variable)) is not old:
            variable.assign(new)
    return result


def _move(kernel, gradient, gamma):
    kernel = ops.cast(ops.stop_gradient(kernel.value), "float32")
    # On replicas each has the gradient of its share, and all must move alike.
    gradient = ops.cast(sum_over_replicas(gradient), "float32")
    length = ops.sqrt(ops.sum(ops.square(gradient)))
    usable = ops.logical_and(length > 0.0, length < float("inf"))
    # An overflow in half precision is no direction; the optimizer leaves such a step out.
    unit = ops.where(usable, gradient / ops.where(usable, length, 1.0), 0.0)
    return ops.stop_gradient(gamma * ops.sqrt(ops.sum(ops.square(kernel))) * unit)


@contextlib.contextmanager
def _values(held, kernels, values):
    """Has kernels hold other values inside the `with`, where no update is carried out."""
    replaced = dict(zip(map(id, kernels), values))
    # All of them are named: what is not is read past the scope that Keras on JAX keeps open.
    state = [(variable, replaced.get(id(variable), variable.value)) for variable in held]
    with keras.StatelessScope(state_mapping=state, collect_losses=True) as scope:
        yield scope
