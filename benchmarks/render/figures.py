"""What several pages read in the same result: accuracies of a network, as shares."""

from typing import NamedTuple


class Accuracies(NamedTuple):
    """Accuracies of one network.

    Attributes:
        clean: Share of right predictions.
        proven: Dict from radius to the share that is proven.
        stands: Dict from attack, or its radius, to the share that the attack left.
    """

    clean: float
    proven: dict = {}
    stands: dict = {}


def certified(figures):
    """Reads `linf_mnist`, one training."""
    return Accuracies(figures["clean"], proven=figures["certified"])


def certified_by_seed(figures):
    """Reads `certified_mnist` or `hkr_mnist`, the means over their seeds."""
    means = {key: row["mean"] for key, row in figures["summary"].items()}
    return Accuracies(means.pop("clean"), proven=means)


def adversarial(figures, method):
    """Reads a row of `papers/got-1`."""
    found = figures[method]["mean"]
    names = {"pgd": "PGD", "autoattack": "AutoAttack"}
    stands = {name: found[key] for key, name in names.items() if key in found}
    return Accuracies(found["clean"], stands=stands)


def ot_classifier(figures, method):
    """Reads a row of `papers/ot-classifier`, by the radius of PGD."""
    found = figures[method]["mean"]["accuracy"]
    return Accuracies(found["0"], stands=found)


def otad(figures):
    """Reads `otad/mnist`: the worst of all gradient attacks, and Square, by radius in l2."""
    stands = {}
    for kind, key in (("gradient attacks", "worst of these"), ("Square", "accuracy")):
        for eps in ("1.0", "2.0", "3.0"):
            found = figures.get(f"{kind}, eps = {eps}")
            if found:
                stands[kind, eps] = found[key] / 100
    return Accuracies(
        figures["standard accuracy"]["accuracy"] / 100,
        proven={"0.05": figures["certificate"]["certified at 0.05"] / 100},
        stands=stands,
    )


def step_ratios(figures, layers):
    """Reads `training_step`: processor time of a step relative to stock layers, by network."""
    names = {"mlp": "dense network", "cnn": "small CNN"}
    return {name: figures[key][layers]["train_cpu_ratio"] for key, name in names.items()}


def layers_of(figures, network):
    """Reads `orthogonality`: the layers that a network is named after, without its dense head."""
    kind = "dense" if network == "SpectralDense" else "conv"
    return [row for row in figures[network]["layers"] if kind in row["layer"]]
