"""Times lipot's AutoAttack beside ART's on three networks and in two norms.

    python -m benchmarks.measure.attacks.auto_attack [--data mnist] [--points 100] [--targeted]

Both run in one process in turns, on the same points. ART's runs its four default attacks, with
its authors' step of twice the radius, through ART's own TensorFlowV2Classifier; with
`--targeted`, it then runs their targeted forms too. A point counts as robust where the prediction
is right or the attack left the ball. The seconds hold all that a user waits for, compilation
included.
"""

import argparse
import time

import keras
import numpy as np
from art.attacks.evasion import (
    AutoAttack,
    AutoProjectedGradientDescent,
    DeepFool,
    SquareAttack,
)

import lipot
from benchmarks.common import write_result
from benchmarks.measure.attacks.art_attacks import (
    arts_estimator,
    load_data,
    networks,
    robust_accuracy,
)
from lipot import attacks

EPS = {"digits": {"inf": 0.1, 2: 0.5}, "mnist": {"inf": 0.1, 2: 1.0}}
EPOCHS = {"digits": 20, "mnist": 2}
NETWORKS = ("plain", "pgd", "lipschitz")
TRAINING_POINTS = 10_000


def images(data):
    """Training and test images, padded to the ten pixels that ART's Square needs in l2."""
    margin = max(10 - data.x_train.shape[1], 0) // 2
    border = ((0, 0), (margin, margin), (margin, margin), (0, 0))
    return np.pad(data.x_train[:TRAINING_POINTS], border), np.pad(data.x_test, border)


def trained(name, x, y, eps, epochs):
    """A network trained for cross-entropy: on clean images, against PGD, or 1-Lipschitz."""
    model = networks(x.shape[1:])["lipschitz" if name == "lipschitz" else "plain"]
    # Logits of slope one learn only from a loss that scales them up.
    temperature = 20.0 if name == "lipschitz" else 1.0
    loss = lipot.losses.TauSparseCategoricalCrossentropy(tau=temperature)
    trainer = model
    if name == "pgd":
        pgd = attacks.PGD(eps=eps, steps=7, seed=0)
        terms = [lipot.losses.AdversarialCrossentropy()]
        trainer, loss = lipot.AdversarialModel(model, attack=pgd, losses=terms), None
    trainer.compile("adam", loss)
    trainer.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
    return model


def arts_attack(model, norm, eps, options):
    """ART's AutoAttack with the attacks it makes by default."""
    estimator = arts_estimator(model)
    ball = {"norm": np.inf if norm == "inf" else norm, "eps": eps}
    climb = {**ball, "eps_step": 2 * eps, "max_iter": options.steps, "batch_size": options.batch}
    climbs = [
        AutoProjectedGradientDescent(
            estimator, nb_random_init=options.restarts, loss_type=loss, verbose=False, **climb
        )
        for loss in ("cross_entropy", "difference_logits_ratio")
    ]
    deepfool = DeepFool(
        estimator, options.steps, epsilon=1e-3, nb_grads=10, batch_size=options.batch, verbose=False
    )
    square = SquareAttack(
        estimator, **ball, max_iter=options.queries, nb_restarts=options.restarts, verbose=False
    )
    return AutoAttack(
        estimator,
        **ball,
        eps_step=2 * eps,
        attacks=[*climbs, deepfool, square],
        batch_size=options.batch,
        targeted=options.targeted,
    )


def measure(generate, model, x, y, norm, eps):
    """Robust accuracy, seconds and processor seconds of one attack."""
    start, start_cpu = time.perf_counter(), time.process_time()
    adversarial = generate(x, y)
    seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    return {
        "robust_accuracy": robust_accuracy(model, adversarial, x, y, norm, eps),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
    }


def compare(model, x, y, norm, eps, options):
    """lipot's AutoAttack and ART's on one network in one norm."""
    ours = attacks.AutoAttack(
        eps,
        norm,
        steps=options.steps,
        queries=options.queries,
        restarts=options.own_restarts,
        batch_size=options.batch,
        seed=options.seed,
    )

    def generate(x, y):
        return ours.generate(model, x, y, verbose=options.verbose)

    row = {"lipot": measure(generate, model, x, y, norm, eps)}
    keras.utils.set_random_seed(options.seed)
    theirs = arts_attack(model, norm, eps, options)
    row["art"] = measure(theirs.generate, model, x, y, norm, eps)
    for ratio, seconds in (("speedup", "seconds"), ("cpu_speedup", "cpu_seconds")):
        row[ratio] = round(row["art"][seconds] / row["lipot"][seconds], 1)
    return row


def summary(figures):
    """What the benchmark has to show, over all networks and norms."""
    rows = [row for norms in figures.values() for row in norms.values()]
    gaps = [row["lipot"]["robust_accuracy"] - row["art"]["robust_accuracy"] for row in rows]
    return {
        "mean_gap": round(float(np.mean(gaps)), 5),
        "largest_gap": round(max(gaps), 5),
        "least_speedup": min(row["speedup"] for row in rows),
        "least_cpu_speedup": min(row["cpu_speedup"] for row in rows),
    }


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist", choices=tuple(EPS))
    parser.add_argument("--networks", nargs="+", default=NETWORKS, choices=NETWORKS)
    parser.add_argument("--norms", nargs="+", default=("inf", "2"), choices=("inf", "2"))
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--queries", type=int, default=5000)
    parser.add_argument("--restarts", type=int, default=5, help="of ART's attacks")
    parser.add_argument("--own-restarts", type=int, default=1, help="of lipot's Auto-PGD")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--targeted", action="store_true", help="ART's targeted attacks as well")
    parser.add_argument("--verbose", action="store_true", help="progress of lipot's attack")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="auto_attack", help="name of the result file")
    return parser.parse_args()


def main():
    options = parsed()
    data = load_data(options.data)
    x_train, x_test = images(data)
    x, y = x_test[: options.points], data.y_test[: options.points]
    figures = {}
    asked = {**vars(options), "data": data.name, "training_points": len(x_train)}
    for name in options.networks:
        keras.utils.set_random_seed(options.seed)
        radii = EPS[data.name]
        labels = data.y_train[:TRAINING_POINTS]
        model = trained(name, x_train, labels, radii["inf"], EPOCHS[data.name])
        clean = float(np.mean(model.predict(x, verbose=0).argmax(axis=1) == y))
        print(f"{name}: {clean:.1%} clean, {len(x)} points of {data.name}")
        figures[name] = {}
        for norm in options.norms:
            norm = "inf" if norm == "inf" else 2
            row = compare(model, x, y, norm, radii[norm], options)
            figures[name][str(norm)] = {"eps": radii[norm], "clean_accuracy": clean, **row}
            print(f"  {norm}: {row}", flush=True)
            # It takes an hour and more: what is there is kept.
            result = {"summary": summary(figures), "networks": figures}
            path = write_result(options.name, result, seed=options.seed, settings=asked)
    print(result["summary"])
    print("Written to", path)


if __name__ == "__main__":
    main()
