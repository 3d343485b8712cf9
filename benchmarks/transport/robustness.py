"""Accuracy under attack, measured through ART, with the sanity checks of OTJR 3.2."""

import numpy as np
from art.attacks.evasion import MomentumIterativeMethod, ProjectedGradientDescent, SimBA

from lipot.attacks import AutoAttack
from lipot.interop import art

BATCH = 500


def estimator_of(network):
    """Wraps a Keras classifier for ART, with data in [0, 1]."""
    return art.classifier(network, clip_values=(0.0, 1.0))


def accuracy(network, x, y):
    """Clean accuracy."""
    return float(np.mean(network.predict(x, batch_size=BATCH, verbose=0).argmax(axis=1) == y))


def pgd_accuracy(estimator, x, y, *, eps, step=None, steps=40):
    """Accuracy under l-infinity PGD with one random start.

    The step defaults to `eps / 30`: 0.01 at eps 0.3, and long enough to cross larger balls. With
    a fixed step of 0.01, 40 steps never leave a ball of 0.4, whatever eps.
    """
    attack = ProjectedGradientDescent(
        estimator,
        norm=np.inf,
        eps=eps,
        eps_step=eps / 30 if step is None else step,
        max_iter=steps,
        num_random_init=1,
        batch_size=BATCH,
        verbose=False,
    )
    x_adv = attack.generate(x, y)
    return float(np.mean(estimator.predict(x_adv).argmax(axis=1) == y))


def mim_accuracy(estimator, x, y, *, eps, step, steps=20, decay=1.0):
    """Accuracy under the momentum iterative method of OTJR, equations 19 and 20.

    The paper leaves the decay open; 1 is that of Dong et al., and of the attacks it ran.
    """
    attack = MomentumIterativeMethod(
        estimator,
        norm=np.inf,
        eps=eps,
        eps_step=step,
        decay=decay,
        max_iter=steps,
        batch_size=BATCH,
        verbose=False,
    )
    return float(np.mean(estimator.predict(attack.generate(x, y)).argmax(axis=1) == y))


def simba_accuracy(estimator, x, y, *, eps, steps=1000):
    """Accuracy under SimBA as OTJR runs it: single pixels, each at most once, moved by `eps`."""
    attack = SimBA(
        estimator.with_probabilities(),
        attack="px",
        max_iter=min(steps, int(np.prod(x.shape[1:]))),
        epsilon=eps,
        verbose=False,
    )
    rows = np.eye(estimator.nb_classes, dtype="float32")[y]
    # It works in place.
    x_adv = attack.generate(x.copy(), rows)
    return float(np.mean(estimator.predict(x_adv).argmax(axis=1) == y))


def auto_attack_accuracy(network, x, y, *, eps, **settings):
    """Accuracy under AutoAttack, the standard version but for its `settings`."""
    attack = AutoAttack(eps, batch_size=BATCH, **settings)
    return float(np.mean(attack.run(network, x, y).stands))


def sanity(estimator, x, y, *, eps, eps_values, steps_values, largest_eps):
    """Checks that accuracy falls with steps and with eps, to zero at a large eps.

    Returns:
        Dict with both curves and whether they `passed`.
    """
    by_eps = {e: pgd_accuracy(estimator, x, y, eps=e) for e in (*eps_values, largest_eps)}
    # One step is FGSM. Fewer steps are longer ones: with eps / 30, ten never reach the boundary.
    by_steps = {
        n: pgd_accuracy(estimator, x, y, eps=eps, step=eps * min(1.0, 2.5 / n), steps=n)
        for n in steps_values
    }
    return {
        "accuracy_by_eps": {f"{key:g}": value for key, value in by_eps.items()},
        "accuracy_by_steps": {str(key): value for key, value in by_steps.items()},
        "passed": passes(list(by_eps.values()), list(by_steps.values()), len(x)),
    }


def passes(by_eps, by_steps, points):
    """Whether both curves fall, and the first one to 1 % at most.

    Attacks start at random: a rise counts where it exceeds one point of accuracy and two standard
    errors. A defence that fails hides its gradients.
    """

    def falls(before, after):
        error = (before * (1.0 - before) / points) ** 0.5
        return after <= before + max(0.01, 2.0 * error)

    steps = zip([*by_eps[:-1], *by_steps[:-1]], [*by_eps[1:], *by_steps[1:]])
    return bool(all(falls(*pair) for pair in steps) and by_eps[-1] <= 0.01)
