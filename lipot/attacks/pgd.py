"""Projected gradient descent on the cross-entropy."""

import keras
from keras import ops

from lipot import checks
from lipot.attacks.base import Attack
from lipot.backend import repeat, value_and_input_gradient
from lipot.math.divergences import one_hot_labels, steep_crossentropy


@keras.saving.register_keras_serializable(package="lipot")
class PGD(Attack):
    r"""Projected gradient descent: the attack of adversarial training.

    $$x_{t+1} = \Pi_{B(x, \epsilon)}\bigl(x_t
        + \eta \, \mathrm{steepest}(\nabla_x \, CE(f(x_t), y))\bigr)$$

    where the steepest step is the sign of the gradient for l-infinity and the normalized gradient
    for l2. Only the direction of the gradient counts, so that it is taken of a function that has
    the same one and does not level off where the prediction is sure: logits of any scale are
    attacked alike.

    Args:
        eps: Positive float, radius of the ball.
        step_size: Positive float, length `eta` of a step. Defaults to `2.5 * eps / steps`.
        steps: Positive int, number of steps.
        norm: `"inf"` or 2.
        random_start: Whether to start at a uniform point of the ball rather than at `x`.
        clip_min: Float, smallest value of the data, or `None`.
        clip_max: Float, largest value of the data, or `None`.
        seed: Integer, or `None` for one drawn from Keras' global generator.
        **kwargs: Arguments of `keras.layers.Layer`.

    Reference:
        Madry et al., "Towards deep learning models resistant to adversarial attacks", 2018;
        OTJR, equation 17.

    Example:

    >>> import keras
    >>> from lipot.attacks import PGD
    >>> attack = PGD(eps=0.3, step_size=0.1, steps=5, random_start=False)
    >>> forward = keras.layers.Identity()  # the logits are the inputs
    >>> x = keras.ops.array([[0.5, 0.5]])
    >>> [round(float(value), 2) for value in attack(forward, x, keras.ops.array([0]))[0]]
    [0.2, 0.8]
    """

    def __init__(self, eps, step_size=None, steps=10, *, random_start=True, **kwargs):
        super().__init__(eps, **kwargs)
        self.steps = checks.positive_int("steps", steps)
        step_size = 2.5 * self.eps / self.steps if step_size is None else step_size
        self.step_size = checks.positive_float("step_size", step_size)
        self.random_start = checks.boolean("random_start", random_start)

    def search(self, forward, x, y):
        objective = self.objective(forward, x, y)
        length = self.scaled(self.step_size, x.dtype)

        def step(_, x_adv):
            _, gradient = value_and_input_gradient(objective, x_adv)
            return self.project(x_adv + length * self.steepest(gradient), x)

        return repeat(self.steps, step, self.start(x))

    def start(self, x):
        """Returns where the first gradient is taken."""
        return self.random_point(x) if self.random_start else self.ball.clip(x)

    def objective(self, forward, x, y):
        """Returns the scalar function of the inputs that the attack increases."""

        def summed_crossentropy(x_adv):
            # A sum, not a mean: in float16 a mean over the batch underflows.
            logits = ops.cast(forward(x_adv), "float32")
            return ops.sum(steep_crossentropy(one_hot_labels(y, logits.shape[-1]), logits))

        return summed_crossentropy

    def get_config(self):
        return {
            **super().get_config(),
            "step_size": self.step_size,
            "steps": self.steps,
            "random_start": self.random_start,
        }
