"""Projected gradient descent on the divergence from the clean prediction."""

import math

import keras
from keras import ops

from lipot import checks
from lipot.attacks.pgd import PGD
from lipot.math import replicas
from lipot.math.divergences import DIRECTIONS, directed_kl, steep_crossentropy

# Log-odds from which a probability is 1 in float32.
_SURE = 24.0 * math.log(2.0)


@keras.saving.register_keras_serializable(package="lipot")
class TRADESPGD(PGD):
    r"""PGD on $D_{KL}(f(x) \,\|\, f(x'))$: the most divergent input rather than the worst one.

    It needs no label. It starts at `x` plus a small Gaussian noise, since the divergence has a
    zero gradient at `x` itself. Where the clean prediction is so sure that it rounds to 0 and 1,
    and the divergence to a constant, the attack leaves the predicted class as `PGD` would.

    Args:
        eps: Positive float, radius of the ball.
        step_size: Positive float, length of a step. Defaults to `2.5 * eps / steps`.
        steps: Positive int, number of steps.
        noise: Positive float, standard deviation of the Gaussian start. Defaults to 0.001.
        direction: `"trades"`, or `"got"` for $D_{KL}(f(x') \,\|\, f(x))$, as
            `lipot.losses.TRADES` has it.
        **kwargs: `norm`, `clip_min`, `clip_max` and `seed` of `PGD`.

    Reference:
        Zhang et al., "Theoretically principled trade-off between robustness and accuracy", 2019;
        GOT, equation 9, with `direction="got"`.

    Example:

    >>> import keras
    >>> from lipot.attacks import TRADESPGD
    >>> attack = TRADESPGD(eps=0.2, step_size=0.1, steps=4)
    >>> x = keras.ops.array([[0.9, 0.5]])
    >>> x_adv = attack(keras.layers.Identity(), x, None)
    >>> round(float(keras.ops.max(keras.ops.abs(x_adv - x))), 2)
    0.2
    """

    def __init__(self, eps, step_size=None, steps=10, *, noise=1e-3, direction="trades", **kwargs):
        super().__init__(eps, step_size, steps, random_start=True, **kwargs)
        self.direction = checks.choice("direction", direction, DIRECTIONS)
        self.noise = checks.positive_float("noise", noise)

    def start(self, x):
        point, seed = ops.shape(x)[1:], self.seed_generator
        noise = replicas.draw(
            lambda count: keras.random.normal((count, *point), stddev=self.noise, seed=seed),
            ops.shape(x)[0],
        )
        return self.project(x + ops.cast(noise, x.dtype), x)

    def objective(self, forward, x, y):
        clean = ops.stop_gradient(ops.cast(forward(x), "float32"))
        predicted = ops.one_hot(ops.argmax(clean, axis=-1), clean.shape[-1], dtype="float32")
        # By the logits: whether their softmax rounds to 1 or just below depends on the machine.
        sure = -steep_crossentropy(predicted, clean) >= _SURE

        def summed_divergence(x_adv):
            logits = ops.cast(forward(x_adv), "float32")
            divergence = directed_kl(clean, logits, self.direction)
            return ops.sum(ops.where(sure, steep_crossentropy(predicted, logits), divergence))

        return summed_divergence

    def get_config(self):
        config = super().get_config()
        del config["random_start"]
        return {**config, "noise": self.noise, "direction": self.direction}
