"""The fast gradient sign method."""

import keras

from lipot.attacks.pgd import PGD


@keras.saving.register_keras_serializable(package="lipot")
class FGSM(PGD):
    r"""The fast gradient method: one steepest step.

    $$x' = x + \epsilon \, \mathrm{sign}(\nabla_x \, CE(f(x), y))$$

    Training on it from `x` itself ends in networks that only this attack leaves standing. From a
    random start, with steps of `1.25 * eps`, it is the fast adversarial training of Wong et al.

    Args:
        eps: Positive float, radius of the ball.
        random_start: Whether to start at a uniform point of the ball rather than at `x`.
        step_size: Positive float, length of the step. Defaults to `eps`.
        **kwargs: `norm`, `clip_min`, `clip_max` and `seed` of `PGD`.

    Reference:
        Goodfellow et al., "Explaining and harnessing adversarial examples", 2014;
        OTJR, equation 18; Wong, Rice and Kolter, "Fast is better than free", 2020.

    Example:

    >>> import keras
    >>> from lipot.attacks import FGSM
    >>> forward = keras.layers.Identity()
    >>> x = keras.ops.array([[0.5, 0.5]])
    >>> [round(float(v), 2) for v in FGSM(eps=0.25)(forward, x, keras.ops.array([1]))[0]]
    [0.75, 0.25]
    """

    def __init__(self, eps, *, random_start=False, step_size=None, **kwargs):
        step_size = eps if step_size is None else step_size
        super().__init__(eps, step_size=step_size, steps=1, random_start=random_start, **kwargs)

    def get_config(self):
        config = super().get_config()
        del config["steps"]
        return config
