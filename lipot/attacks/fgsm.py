"""The fast gradient sign method."""

import keras

from lipot.attacks.pgd import PGD


@keras.saving.register_keras_serializable(package="lipot")
class FGSM(PGD):
    r"""The fast gradient method: one steepest step of length `eps`.

    $$x' = x + \epsilon \, \mathrm{sign}(\nabla_x \, CE(f(x), y))$$

    Args:
        eps: Radius of the ball and length of the step.
        **kwargs: `norm`, `random_start` (defaults to False), `clip_min`, `clip_max` and `seed`
            of `PGD`.

    Reference:
        Goodfellow et al., "Explaining and harnessing adversarial examples", 2014;
        OTJR, equation 18.

    Example:

    >>> import keras
    >>> from lipot.attacks import FGSM
    >>> forward = keras.layers.Identity()
    >>> x = keras.ops.array([[0.5, 0.5]])
    >>> [round(float(v), 2) for v in FGSM(eps=0.25)(forward, x, keras.ops.array([1]))[0]]
    [0.75, 0.25]
    """

    def __init__(self, eps, *, random_start=False, **kwargs):
        super().__init__(eps, step_size=eps, steps=1, random_start=random_start, **kwargs)

    def get_config(self):
        config = super().get_config()
        del config["step_size"], config["steps"]
        return config
