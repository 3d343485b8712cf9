"""Adversarial training on MNIST: a row for each method, at one budget for all.

Usage: python -m benchmarks.transport.mnist [--methods PGD-AT OTJR ...] [--ablations]

On two cores no method can be trained from nothing: with eps 0.3 a network first stays at chance
for a thousand steps. So all rows share a start, `--warmup` clean steps and `--ramp` steps of
adversarial training with a cheap attack of growing eps, and differ in `--budget` steps with the
attack of the papers. Rows without an adversarial loss continue the clean start instead.
Each row is stored as it completes; run the same command again to continue.
"""

import argparse
import pathlib

import keras

from benchmarks.common import read_result, write_result
from benchmarks.transport import robustness
from benchmarks.transport.recipes import ABLATIONS, EPS, MAIN
from benchmarks.transport.training import train
from lipot import attacks, datasets, losses
from lipot.models import AdversarialModel, carlini_wagner

RUNS = pathlib.Path("runs/transport")
EPS_CURVE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
STEPS_CURVE = (1, 10, 20, 40, 100)
WARM_BATCH = 128
# Settings that do not change the training, or are stored with the row.
OF_THE_ROW = (
    "methods",
    "ablations",
    "auto_points",
    "auto_attacks",
    "auto_steps",
    "auto_queries",
)
# eps of the common start, and its share of the steps
RAMP = ((0.1, 0.2), (0.2, 0.3), (0.3, 0.5))


def main():
    options = parse()
    result = "transport/mnist_ablations" if options.ablations else "transport/mnist"
    recipes = ABLATIONS if options.ablations else MAIN
    settings = {key: value for key, value in vars(options).items() if key not in OF_THE_ROW}
    stored = read_result(result)
    rows = stored["figures"] if stored and stored["settings"] == settings else {}
    data = datasets.load("mnist")
    for name in options.methods or recipes:
        print(name, flush=True)
        if name not in rows:
            rows[name] = measure(name, recipes[name], data, options)
            write_result(result, rows, seed=options.seed, settings=settings)
        if options.auto_points and "autoattack" not in rows[name]:
            rows[name]["autoattack"] = auto_attack(name, recipes[name], data, options)
            write_result(result, rows, seed=options.seed, settings=settings)
        print_row(name, rows[name])


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="*", choices=[*MAIN, *ABLATIONS], help="rows to run")
    parser.add_argument("--ablations", action="store_true", help="GOT's Tables 4 and 5 instead")
    parser.add_argument("--budget", type=int, default=500, help="adversarial steps a method")
    parser.add_argument("--warmup", type=int, default=400, help="clean steps before, every row")
    parser.add_argument("--ramp", type=int, default=1200, help="cheap adversarial steps before")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--precision", default="mixed_bfloat16", help="of the training")
    parser.add_argument("--points", type=int, default=10000, help="test points for PGD-40")
    parser.add_argument("--curve-points", type=int, default=1000, help="test points of curves")
    parser.add_argument("--auto-points", type=int, default=1000, help="0 to leave it out")
    parser.add_argument("--auto-attacks", nargs="+", default=["apgd-ce", "apgd-dlr", "square"])
    parser.add_argument("--auto-steps", type=int, default=100)
    parser.add_argument("--auto-queries", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def measure(name, recipe, data, options):
    """Trains one row and attacks it; returns its figures."""
    network, logs = trained(name, recipe, data, options)
    estimator = robustness.estimator_of(network)
    x, y = data.x_test, data.y_test
    row = {
        "clean": robustness.accuracy(network, x, y),
        "pgd": robustness.pgd_accuracy(
            estimator, x[: options.points], y[: options.points], eps=EPS
        ),
        "sanity": robustness.sanity(
            estimator,
            x[: options.curve_points],
            y[: options.curve_points],
            eps=EPS,
            eps_values=EPS_CURVE,
            steps_values=STEPS_CURVE,
            largest_eps=1.0,
        ),
        "paper": recipe.paper,
        "source": recipe.source,
        "last_logs": logs,
    }
    return row


def auto_attack(name, recipe, data, options):
    """Runs AutoAttack on a row that is trained; returns its accuracy and what was run."""
    network, _ = trained(name, recipe, data, options)
    x, y = data.x_test[: options.auto_points], data.y_test[: options.auto_points]
    run = {
        "attacks": options.auto_attacks,
        "steps": options.auto_steps,
        "queries": options.auto_queries,
    }
    accuracy = robustness.auto_attack_accuracy(network, x, y, eps=EPS, **run)
    return {"accuracy": accuracy, "points": len(x), **run}


def trained(name, recipe, data, options):
    """Returns a float32 network trained by a recipe, and the logs of its last steps."""
    budget = (options.budget, options.warmup, options.ramp, options.batch_size, options.seed)
    folder = RUNS / "-".join(map(str, budget))
    start = STARTS[recipe.start](data, options, RUNS)
    keras.utils.set_random_seed(options.seed)
    with _precision(options.precision):
        classifier = carlini_wagner()
        robust = AdversarialModel(
            classifier,
            recipe.attack() if recipe.attack else None,
            recipe.losses(),
            recipe.features,
        )
    classifier.set_weights(start)
    robust.compile(keras.optimizers.Adam(1e-3))
    logs = train(
        robust,
        data.x_train,
        data.y_train,
        steps=options.budget,
        batch_size=options.batch_size,
        seed=options.seed,
        folder=folder / name.replace(" ", "_").replace("/", "_"),
    )
    network = carlini_wagner()
    network.set_weights(classifier.get_weights())
    return network, logs


def clean_start(data, options, folder):
    """Returns the weights of a short clean training."""
    keras.utils.set_random_seed(options.seed)
    network = carlini_wagner()
    network.compile(
        keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    train(
        network,
        data.x_train,
        data.y_train,
        steps=options.warmup,
        batch_size=WARM_BATCH,
        seed=options.seed,
        folder=folder / f"clean-{options.warmup}-{options.seed}",
    )
    return network.get_weights()


def robust_start(data, options, folder):
    """Returns the weights after adversarial training with a 7-step attack of growing eps."""
    weights = clean_start(data, options, folder)
    for part, (eps, share) in enumerate(RAMP):
        keras.utils.set_random_seed(options.seed)
        with _precision(options.precision):
            classifier = carlini_wagner()
            robust = AdversarialModel(
                classifier, attacks.PGD(eps, steps=7), [losses.AdversarialCrossentropy()]
            )
        classifier.set_weights(weights)
        robust.compile(keras.optimizers.Adam(1e-3))
        train(
            robust,
            data.x_train,
            data.y_train,
            steps=int(share * options.ramp),
            batch_size=WARM_BATCH,
            seed=options.seed + part,
            folder=folder / f"ramp-{options.warmup}-{options.ramp}-{options.seed}" / f"{eps:g}",
        )
        weights = classifier.get_weights()
    return weights


STARTS = {"clean": clean_start, "robust": robust_start}


class _precision:
    """Context in which layers are created with a dtype policy."""

    def __init__(self, policy):
        self.policy = policy

    def __enter__(self):
        self.before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.policy)

    def __exit__(self, *error):
        keras.config.set_dtype_policy(self.before)


def print_row(name, row):
    paper = "" if row["paper"] is None else f"   (paper: {row['paper']})"
    sane = "sane" if row["sanity"]["passed"] else "FAILS the sanity checks"
    attacked = f"AutoAttack {row['autoattack']['accuracy']:.1%}, " if "autoattack" in row else ""
    print(
        f"{name}: clean {row['clean']:.1%}, PGD {row['pgd']:.1%}, {attacked}{sane}{paper}",
        flush=True,
    )


if __name__ == "__main__":
    main()
