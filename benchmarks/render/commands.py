"""The command that makes each stored result."""

import shlex

# Beneath `benchmarks`, by the name of the result.
COMMANDS = {
    "auto_attack": "measure.attacks.auto_attack --points 150 --networks lipschitz",
    "auto_attack_pgd": (
        "measure.attacks.auto_attack --points 150 --networks pgd --name auto_attack_pgd"
    ),
    "auto_attack_plain": (
        "measure.attacks.auto_attack --points 150 --networks plain --name auto_attack_plain"
    ),
    "certified_cifar10": "measure.training.certified_cifar10 --minutes 25 --deel PYTHON",
    "certified_mnist": "measure.training.certified_mnist",
    "constant_time": "measure.speed.constant_time",
    "evaluate_mnist": "measure.attacks.evaluate_mnist",
    "hkr_margin": "measure.training.hkr_margin",
    "hkr_mnist": "measure.training.hkr_mnist",
    "interrupted_evaluation": "measure.attacks.interrupted_evaluation --points 100",
    "linf_mnist": "measure.training.linf_mnist --minutes 50 --attack 300 --directions 10000",
    "lipnext_cifar10": "measure.training.timed_cifar10 lipnext --minutes 11.5 --points 1000",
    "manifold_adam": (
        "measure.training.orthogonalizers --epochs 1 --only retraction manifold_adam "
        "--seeds 0 1 2 3 4 5 --name manifold_adam"
    ),
    "orthogonality": "measure.kernels.orthogonality",
    "orthogonalizers": "measure.training.orthogonalizers --epochs 1 --only retraction bjorck",
    "otad/cells": "otad.vectors cells",
    "otad/cifar10": "otad.cifar10",
    "otad/gaussians": "otad.vectors gaussians --epochs 15 --points 300 --train 20000 --test 4000",
    "otad/millions": "otad.millions",
    "otad/mnist": "otad.mnist --epochs 12 --points 500",
    "otad/throughput": "otad.throughput",
    "otad/wine": "otad.wine",
    "overhead": "measure.speed.overhead --steps 10 --rounds 3",
    "papers/got-1": "papers --table got-1",
    "papers/got-1-long": (
        "papers --table got-1 --name got-1-long --epochs 20 --rows PGD-AT GOT-PGD-S OTJR"
    ),
    "papers/got-4": "papers --table got-4",
    "papers/got-5": "papers --table got-5",
    "papers/hkr": "papers --table hkr",
    "papers/ot-classifier": "papers --table ot-classifier",
    "papers/otad-1": "papers --table otad-1",
    "papers/otad-2": "papers --table otad-2",
    "papers/otad-3": "papers --table otad-3",
    "plan": "measure.speed.plan",
    "pyramid_cifar10": (
        "measure.training.timed_cifar10 pyramid --minutes 18.2 --learning-rate 7.9e-3"
    ),
    "pyramid_cifar10_recipe": "measure.training.timed_cifar10 pyramid --minutes 14.8",
    "purifiers": "measure.training.purifiers --minutes MINUTES --only NAME --points IMAGES",
    "purifiers_l2": (
        "measure.training.purifiers --norm l2 --eps 0.14 --attacks bpda --minutes 12 "
        "--only none DefenseGAN --points 100"
    ),
    "shared_evaluation": "measure.attacks.shared_evaluation",
    "soundness": "measure.attacks.soundness",
    "streamed_certify": "measure.speed.streamed_certify",
    "training_step": (
        "measure.speed.training_step --steps 20 --rounds 3 --networks mlp cnn resnet "
        "--only retraction manifold_adam --deel PYTHON"
    ),
    "training_step_large_batch": (
        "measure.speed.training_step --networks mlp mlp1024 mlp2048 "
        "--only manifold_adam --steps 20 --rounds 3 --warmup 100 --batch-size 1024 "
        "--name training_step_large_batch"
    ),
    "training_step_wide": (
        "measure.speed.training_step --networks mlp mlp1024 mlp2048 "
        "--only retraction manifold_adam --steps 20 --rounds 5 --name training_step_wide"
    ),
    "transport/cost": "transport.cost --repeats 9",
}
_BY_NETWORK = "transport/cifar10/"


def command_of(result):
    """Returns the command that makes a result, as it is typed."""
    if result.startswith(_BY_NETWORK):
        # Their names say method, network, epochs and seed.
        method, network, _, _ = result.removeprefix(_BY_NETWORK).rsplit("_", 3)
        method = shlex.quote(method.replace("_", " "))
        return f"python -m benchmarks.transport.cifar10 --method {method} --network {network}"
    return f"python -m benchmarks.{COMMANDS[result]}"
