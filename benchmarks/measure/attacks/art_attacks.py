"""Times ART's attacks through lipot's estimator and through ART's own, on the same models.

    python -m benchmarks.measure.attacks.art_attacks [--points 100] [--rounds 2] \
        [--networks plain lipschitz]

Both estimators run in one process in turns, with the same settings, data and seeds. A sample
counts as robust where its prediction is right or the attack left the ball of radius `EPS`.
"""

import argparse
import time

import keras
import numpy as np
from art.attacks.evasion import (
    AutoProjectedGradientDescent,
    CarliniL2Method,
    DeepFool,
    ProjectedGradientDescent,
)
from art.estimators.classification import TensorFlowV2Classifier

import lipot
from benchmarks.common import write_result
from lipot import datasets
from lipot.interop.art import classifier

EPS = 1.5
BATCH = 100
_STEPS = {"norm": 2, "eps": EPS, "eps_step": 0.3, "max_iter": 40, "batch_size": BATCH}
_RESTARTED = {**_STEPS, "eps_step": 2 * EPS, "nb_random_init": 1}

ATTACKS = {
    "PGD": (ProjectedGradientDescent, _STEPS),
    "AutoPGD": (AutoProjectedGradientDescent, _RESTARTED),
    # With `loss_type`, ART builds an estimator of its own around ours: only the model is compiled.
    "AutoPGD, ART's cross-entropy": (
        AutoProjectedGradientDescent,
        {**_RESTARTED, "loss_type": "cross_entropy"},
    ),
    "AutoPGD, ART's logits ratio": (
        AutoProjectedGradientDescent,
        {**_RESTARTED, "loss_type": "difference_logits_ratio"},
    ),
    "DeepFool": (DeepFool, {"max_iter": 20, "batch_size": BATCH}),
    "CW": (
        CarliniL2Method,
        {"max_iter": 10, "binary_search_steps": 4, "initial_const": 1.0, "batch_size": BATCH},
    ),
}


def load_data(name):
    """The data set of that name, or the bundled digits on a machine that cannot reach it."""
    try:
        return datasets.load(name)
    except OSError as error:
        print(f"{error}\nThe digits of scikit-learn stand in.")
        return datasets.load("digits")


def networks(image_shape):
    """A plain CNN and a 1-Lipschitz one."""
    layers, stock = lipot.layers, keras.layers
    plain = [
        *(stock.Conv2D(16, 3, padding="same"), stock.ReLU(), stock.MaxPooling2D(2)),
        *(stock.Conv2D(32, 3, padding="same"), stock.ReLU(), stock.MaxPooling2D(2)),
        *(stock.Flatten(), stock.Dense(64), stock.ReLU(), stock.Dense(10)),
    ]
    lipschitz = [
        *(layers.SpectralConv2D(16, 3), layers.GroupSort2(), layers.ScaledL2NormPooling2D(2)),
        *(layers.SpectralConv2D(32, 3), layers.GroupSort2(), layers.ScaledL2NormPooling2D(2)),
        *(stock.Flatten(), layers.SpectralDense(64), layers.GroupSort2()),
        layers.FrobeniusDense(10, disjoint_neurons=True),
    ]
    return {
        name: keras.Sequential([keras.Input(image_shape), *body], name=name)
        for name, body in (("plain", plain), ("lipschitz", lipschitz))
    }


def train(model, data, points=10_000):
    """Two epochs of cross-entropy; the Lipschitz network needs a temperature to learn."""
    temperature = 20.0 if model.name == "lipschitz" else 1.0
    model.compile("adam", lipot.losses.TauSparseCategoricalCrossentropy(tau=temperature))
    model.fit(data.x_train[:points], data.y_train[:points], batch_size=64, epochs=2, verbose=0)


def estimators(model):
    """ART's estimator of the model, and lipot's."""
    return {"art": arts_estimator(model), "lipot": classifier(model, clip_values=(0.0, 1.0))}


def arts_estimator(model):
    """ART's own estimator of a model that returns logits, on data in [0, 1]."""
    return TensorFlowV2Classifier(
        model,
        nb_classes=model.output_shape[-1],
        input_shape=model.input_shape[1:],
        loss_object=keras.losses.CategoricalCrossentropy(from_logits=True),
        clip_values=(0.0, 1.0),
    )


def robust_accuracy(model, adversarial, x, y, norm, eps):
    """Share of points with the right prediction or an attack that went too far."""
    right = model.predict(adversarial, verbose=0).argmax(axis=1) == y
    shift = (adversarial - x).reshape(len(x), -1)
    distance = np.linalg.norm(shift, ord=np.inf if norm == "inf" else 2, axis=1)
    # ART's Square makes NaN of blank patches in l2: that is no point of the ball either.
    return float(np.mean(right | ~(distance <= eps * (1 + 1e-4))))


def compare(model, attack, settings, x, y, rounds, seed):
    """Runs one attack through both estimators in turns.

    Returns:
        Dict with the seconds of the fastest round, the robust accuracies and the ratios. The
        processor's time says more than the clock's where other work shares the machine.
    """
    targets = estimators(model)
    seconds, cpu, accuracy = {}, {}, {}
    # The first round, which compiles, is run on a few samples and not counted.
    for count in [min(8, len(x))] + [len(x)] * rounds:
        for name, target in targets.items():
            keras.utils.set_random_seed(seed)
            start, cpu_start = time.perf_counter(), time.process_time()
            adversarial = attack(target, verbose=False, **settings).generate(x[:count], y[:count])
            seconds.setdefault(name, []).append(time.perf_counter() - start)
            cpu.setdefault(name, []).append(time.process_time() - cpu_start)
            accuracy[name] = robust_accuracy(model, adversarial, x[:count], y[:count], 2, EPS)
    fastest, least = ({n: min(times[1:]) for n, times in all_.items()} for all_ in (seconds, cpu))
    return {
        "seconds": {name: round(time, 3) for name, time in fastest.items()},
        "cpu_seconds": {name: round(time, 3) for name, time in least.items()},
        "robust_accuracy": accuracy,
        "speedup": round(fastest["art"] / fastest["lipot"], 2),
        "cpu_speedup": round(least["art"] / least["lipot"], 2),
    }


def describe(row):
    """One line of text for what `compare` returns."""
    seconds, robust = row["seconds"], row["robust_accuracy"]
    return (
        f"{seconds['art']:7.2f} s {seconds['lipot']:7.2f} s   {row['speedup']:5.2f}x "
        f"({row['cpu_speedup']:.2f}x cpu)   robust {robust['art']:.1%} {robust['lipot']:.1%}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist", choices=("mnist", "digits"))
    parser.add_argument("--networks", nargs="+", default=["plain"], help="plain, lipschitz")
    parser.add_argument("--attacks", nargs="+", default=list(ATTACKS))
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="art_attacks", help="name of the result file")
    options = parser.parse_args()

    data = load_data(options.data)
    x, y = data.x_test[: options.points], data.y_test[: options.points]
    figures = {}
    for name in options.networks:
        keras.utils.set_random_seed(options.seed)
        model = networks(data.x_train.shape[1:])[name]
        train(model, data)
        clean = float(np.mean(model.predict(x, verbose=0).argmax(axis=1) == y))
        print(f"{name}: {clean:.1%} clean, {len(x)} points of {data.name}, l2 eps={EPS}")
        figures[name] = {"clean_accuracy": clean}
        for title in options.attacks:
            attack, settings = ATTACKS[title]
            row = compare(model, attack, settings, x, y, options.rounds, options.seed)
            figures[name][title] = row
            print(f"  {title:29} {describe(row)}", flush=True)
    asked = {"eps": EPS, "batch_size": BATCH, **vars(options), "data": data.name}
    print("Written to", write_result(options.name, figures, seed=options.seed, settings=asked))


if __name__ == "__main__":
    main()
