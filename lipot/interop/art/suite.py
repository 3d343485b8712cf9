"""AutoAttack as ART runs it, with every loss compiled."""

import numpy as np
from art.attacks.evasion import (
    AutoAttack,
    AutoProjectedGradientDescent,
    DeepFool,
    SquareAttack,
)

from lipot import checks
from lipot.math.norms import order


def auto_attack(
    estimator, *, norm, eps, eps_step=None, max_iter=100, restarts=5, queries=5000, batch_size=256
):
    """AutoAttack: two kinds of Auto-PGD, DeepFool and Square, each on what the others left.

    The attacks and defaults are those of `art.attacks.evasion.AutoAttack`. What differs: the
    losses are compiled with the model, the progress bars are silent, and it runs on every Keras
    backend, on models of two classes (without the difference of logits ratio, which needs three)
    and on inputs that are not images, or too small for it (without Square).

    Args:
        estimator: What `lipot.interop.art.classifier` returns.
        norm: `2`, `1` or `np.inf`; `"l2"`, `"l1"`, `"inf"` and `"linf"` will do.
        eps: Positive float, radius of the attack.
        eps_step: First step of Auto-PGD. Defaults to `2 * eps`, its authors' choice.
        max_iter: Steps of each Auto-PGD.
        restarts: Random starts of each attack.
        queries: Queries of Square for each sample and restart.
        batch_size: Samples attacked at once. Larger is faster, as long as memory lasts.

    Returns:
        An `art.attacks.evasion.AutoAttack`; call its `generate(x, y)`.

    Reference:
        Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of
        diverse parameter-free attacks".

    Example:

    >>> import keras, numpy as np
    >>> from lipot.interop.art import auto_attack, classifier
    >>> model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(),
    ...                           keras.layers.Dense(3)])
    >>> attack = auto_attack(classifier(model, clip_values=(0.0, 1.0)), norm=2, eps=0.1,
    ...                      max_iter=3, restarts=1, queries=10)
    >>> attack.generate(np.full((2, 4, 4, 1), 0.5, "float32")).shape
    (2, 4, 4, 1)
    """
    # The one place where l1 is a norm too.
    norm = 1 if norm in (1, "l1") else order(checks.norm("norm", norm))
    eps_step = 2.0 * eps if eps_step is None else eps_step
    losses = ["crossentropy", "difference_logits_ratio"][: 1 if estimator.nb_classes < 3 else 2]
    attacks = [
        AutoProjectedGradientDescent(
            estimator.with_loss(loss),
            norm=norm,
            eps=eps,
            eps_step=eps_step,
            max_iter=max_iter,
            nb_random_init=restarts,
            batch_size=batch_size,
            verbose=False,
        )
        for loss in losses
    ]
    attacks.append(
        DeepFool(estimator, max_iter=100, epsilon=1e-3, batch_size=batch_size, verbose=False)
    )
    if _square_fits(estimator, norm):
        attacks.append(
            SquareAttack(
                estimator,
                norm=norm,
                eps=eps,
                max_iter=queries,
                p_init=0.8,
                nb_restarts=restarts,
                batch_size=batch_size,
                verbose=False,
            )
        )
    return AutoAttack(
        estimator, norm=norm, eps=eps, eps_step=eps_step, attacks=attacks, batch_size=batch_size
    )


def _square_fits(estimator, norm):
    shape = estimator.input_shape
    if len(shape) != 3:
        return False
    height, width = shape[1:] if estimator.channels_first else shape[:2]
    # In l1 and l2, ART's Square starts from tiles a fifth of the image high, made of two halves:
    # one pixel has no halves, and the division by their norm gives NaN.
    return min(height, width) >= (5 if norm == np.inf else 10)
