"""What OTJR's tables ask of a CIFAR-10 network beside the common columns.

The rest of the eleven attacks of Table 2, gradients at the input (Tables 5 and 12, figure 3), and
ratios of weight gradients by layer (figures 4 and 6).
"""

import numpy as np
from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent

from benchmarks.transport import robustness
from lipot import attacks
from lipot.evaluation.gradient_norms import (
    attacked,
    input_gradient_norms,
    weight_gradient_ratios,
)

EPS, STEP = 8 / 255, 2 / 255
L2_EPS, L2_STEP = 128 / 255, 15 / 255
# The paper's Square has fewer queries than that of AutoAttack.
QUERIES = 1000


def columns(network, data, options):
    """Measures a network.

    Args:
        network: Keras classifier of logits.
        data: `lipot.datasets.Dataset`.
        options: Parsed arguments with `points`, and `auto_points` for what is slow.

    Returns:
        Dict of accuracies by the column, and of the gradients.
    """
    x, y = data.x_test[: options.points], data.y_test[: options.points]
    target = robustness.estimator_of(network)
    found = {}
    for name, attack in _attacks(target).items():
        found[name] = float(np.mean(target.predict(attack.generate(x, y)).argmax(axis=1) == y))
    few, labels = x[: options.auto_points], y[: options.auto_points]
    for name, own in (("fab", "fab-t"), ("square", "square")):
        found[name] = robustness.auto_attack_accuracy(
            network, few, labels, eps=EPS, attacks=[own], queries=QUERIES, steps=options.auto_steps
        )
    few, labels = few[:1000], labels[:1000]
    x_adv = attacked(network, few, labels, attacks.PGD(EPS, STEP, 20))
    found["input gradients"] = input_gradient_norms(network, few, labels, eps=EPS, step_size=STEP)
    found["weight gradient ratios"] = weight_gradient_ratios(network, few, x_adv, labels)
    return found


def _attacks(target):
    return {
        "pgd100": _pgd(target, 100),
        "l2-pgd": _pgd(target, 20, norm=2, eps=L2_EPS, eps_step=L2_STEP),
        "fgsm": FastGradientMethod(target, norm=np.inf, eps=EPS, batch_size=robustness.BATCH),
        # Carlini and Wagner's loss in the ball: PGD on the margin.
        "cw": _pgd(target.with_loss("margin"), 20),
    }


def _pgd(target, steps, **other):
    ball = {"norm": np.inf, "eps": EPS, "eps_step": STEP, **other}
    return ProjectedGradientDescent(
        target,
        max_iter=steps,
        num_random_init=1,
        batch_size=robustness.BATCH,
        verbose=False,
        **ball,
    )
