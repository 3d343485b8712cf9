"""Whether a model has gradients at all, and whether attacks can follow them."""

import numpy as np
from keras import ops

from lipot import backend, checks
from lipot.backend.calls import stateless_call
from lipot.batches import spread

# Points to look at: a model without gradients has none anywhere.
_POINTS = 8


def vanishes(task, rows, loss):
    """For each of some points, whether the input gradient of a loss is exactly zero.

    Args:
        task: `Task`.
        rows: Indices of the points.
        loss: Name of a loss of `lipot.interop.art.classifier`.

    Returns:
        Boolean array shaped like `rows`.
    """
    target = task.target.with_loss(loss)
    gradient = target.loss_gradient(task.range.to_unit(task.x[rows]), task.y[rows])
    return ~np.any(np.asarray(gradient).reshape(len(rows), -1), axis=1)


def check_gradients(task, specs):
    """Raises where the attacks of a suite would seem to fail for want of a gradient.

    Where only the inputs are cut off, by a quantizer for example, gradients are masked: attacks
    without gradients still tell something, and the sanity checks flag it. A model whose weights
    have no gradient either was never differentiable.

    Args:
        task: `Task`.
        specs: The attacks that are to run.
    """
    rows = spread(len(task.x), 100)
    blind = [spec.name for spec in specs if not spec.needs_gradient]
    if len(blind) == len(specs) or not np.all(vanishes(task, rows, "margin")):
        return
    if not blind:
        raise checks.refused(
            "model",
            "input gradients, or attacks that need none, such as 'square' and 'hopskipjump'",
            f"'{task.model.name}', whose gradient is zero at all of {len(rows)} points, and "
            f"{', '.join(spec.name for spec in specs)}",
        )
    if _weights_have_none(task):
        raise checks.refused(
            "model",
            f"a model with gradients, or only attacks that need none: {', '.join(blind)}",
            f"'{task.model.name}', whose outputs have no gradient with respect to inputs or "
            "weights",
        )


def _weights_have_none(task):
    model = task.target.logits_model()
    weights = model.trainable_variables
    if not weights:
        return False
    state = [variable.value for variable in model.non_trainable_variables]
    x = ops.convert_to_tensor(task.range.to_unit(task.x[:_POINTS]))
    sizes = np.cumsum([int(np.prod(weight.shape)) for weight in weights])[:-1]

    def spread_of_logits(flat):
        parts = ops.split(flat, sizes.tolist())
        values = [
            ops.cast(ops.reshape(part, weight.shape), weight.dtype)
            for part, weight in zip(parts, weights)
        ]
        logits, _ = stateless_call(model, values, state, x, training=False)
        return ops.sum(ops.var(logits, axis=-1))

    flat = ops.concatenate(
        [ops.reshape(ops.cast(weight.value, "float32"), (-1,)) for weight in weights]
    )
    _, gradient = backend.value_and_input_gradient(spread_of_logits, flat)
    return not np.any(ops.convert_to_numpy(gradient))
