"""Penalties on the input-output Jacobian, along random or optimal directions."""

import keras
from keras import ops

from lipot import checks
from lipot.losses.paired import PairedLoss
from lipot.math.transport import movement_directions, sphere_directions


@keras.saving.register_keras_serializable(package="lipot")
class RandomJacobian(PairedLoss):
    r"""Squared Frobenius norm of the Jacobian of the logits, estimated with one random direction.

    $$C \, \|J(x)^\top \hat v\|^2, \quad \hat v \sim \mathcal{S}^{C-1}$$

    whose mean over $\hat v$ is $\|J(x)\|_F^2$. One direction is drawn for each example.

    Args:
        weight: Non-negative float, factor of the term in the objective.
        seed: Integer, or `None` for one drawn from Keras' global generator.
        name: Name of the metric in the logs.
        **kwargs: Arguments of `keras.layers.Layer`.

    Reference:
        Hoffman et al., "Robust learning with Jacobian regularization", 2019; OTJR, equation 3,
        with one direction as in equation 5, which leaves the factor $C$ out.

    Example:

    >>> from lipot.losses import PairedBatch, RandomJacobian
    >>> x = ops.convert_to_tensor([[1.0, 0.0]])
    >>> batch = PairedBatch(lambda inputs: (2.0 * inputs, None), x, [0], x)
    >>> [round(float(value), 4) for value in RandomJacobian()(batch)]   # |2 I|_F^2
    [8.0]
    """

    def __init__(self, weight=1.0, *, seed=None, name="random_jacobian", **kwargs):
        super().__init__(weight, name=name, **kwargs)
        self.seed = checks.optional(checks.seed, "seed", seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def per_example(self, batch):
        classes = batch.logits.shape[-1]

        def directions(count):
            return ops.transpose(sphere_directions(classes, count, self.seed_generator))

        return _penalty(batch, batch.draw(directions))

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable(package="lipot")
class OptimalJacobian(PairedLoss):
    r"""Squared norm of the Jacobian along the direction in which transport moves each example.

    $$C \, \|J(x)^\top \Delta\|^2, \quad \Delta_i = m_i / \|m_i\|$$

    where $m_i$ is the movement of the adversarial logits towards the clean ones under sliced
    transport. It is shared with `SlicedWasserstein` when both use as many projections. An example
    that does not move contributes zero, and no gradient flows through the direction.

    Args:
        weight: Non-negative float, factor of the term in the objective.
        projections: Positive int, number of random lines of the sliced transport.
        seed: Integer, or `None` for one drawn from Keras' global generator.
        name: Name of the metric in the logs.
        **kwargs: Arguments of `keras.layers.Layer`.

    Reference:
        OTJR (Le et al.), equations 10 to 12. Equation 12 has no factor $C$, which is ours, from
        equation 3: divide the paper's $\lambda_J$, 0.002 on CIFAR-10, by the number of classes
        to have its term.

    Example:

    >>> from lipot.losses import OptimalJacobian, PairedBatch
    >>> x, x_adv = (ops.convert_to_tensor(rows) for rows in ([[1.0, 0.0]], [[0.0, 0.0]]))
    >>> batch = PairedBatch(lambda inputs: (2.0 * inputs, None), x, [0], x_adv)
    >>> [round(float(value), 4) for value in OptimalJacobian()(batch)]   # 2 classes times 2^2
    [8.0]
    """

    def __init__(self, weight=1.0, projections=32, *, seed=None, name="optimal_jacobian", **kwargs):
        super().__init__(weight, name=name, **kwargs)
        self.projections = checks.positive_int("projections", projections)
        self.seed = checks.optional(checks.seed, "seed", seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def per_example(self, batch):
        movement = batch.sliced_transport(self.projections, self.seed_generator).movement
        return _penalty(batch, movement_directions(movement))

    def get_config(self):
        return {**super().get_config(), "projections": self.projections, "seed": self.seed}


def _penalty(batch, directions):
    """Computes `C |J^T v|^2` for one direction an example: `(batch, classes) -> (batch,)`."""
    gradient = ops.cast(batch.pull(directions), "float32")
    axes = tuple(range(1, len(gradient.shape)))
    return directions.shape[-1] * ops.sum(ops.square(gradient), axis=axes)
