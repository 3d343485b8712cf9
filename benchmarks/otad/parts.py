"""What the OTAD benchmarks share: parts that are stored one by one, networks, attacks."""

import gc
import time
from pathlib import Path

import keras
import numpy as np
from art.attacks.evasion import AutoProjectedGradientDescent, ProjectedGradientDescent

from benchmarks.common import read_result, write_result
from lipot.attacks import AutoAttack
from lipot.evaluation.attacks.ngopt import NGOptCarlini
from lipot.interop.art import classifier
from lipot.models import StraightThrough

RUNS = Path(__file__).parents[2] / "runs" / "otad"


class Parts:
    """Figures of one benchmark, written after every part; a part at hand is not run again.

    Args:
        name: Name of the result.
        seed: Seed of the run.
        settings: Dict of what was asked for; figures of other settings are dropped.
    """

    def __init__(self, name, *, seed, settings):
        self.name, self.seed, self.settings = name, seed, settings
        stored = read_result(name)
        same = stored and stored["settings"] == settings and stored["seed"] == seed
        self.figures = stored["figures"] if same else {}

    def run(self, part, function, *arguments):
        """Stores `function(*arguments)`, a dict, under `part`, with its seconds."""
        if part not in self.figures:
            started = time.perf_counter()
            figures = function(*arguments)
            self.figures[part] = {**figures, "seconds": round(time.perf_counter() - started, 1)}
            write_result(self.name, self.figures, seed=self.seed, settings=self.settings)
            # An OTAD holds its points, gigabytes here, until the cycles around it are found.
            gc.collect()
        print(part, self.figures[part], flush=True)
        return self.figures[part]

    def run_all(self, measurements, parts):
        """Runs what `measurements.of(part)` gives, pairs of label and function, for each part."""
        for part in parts:
            for label, function in measurements.of(part):
                self.run(label, function)


def store_of(name, options, *, beside=(), **more):
    """The `Parts` of a run by its parsed arguments, kept apart where it is a `--quick` one.

    Args:
        name: Name of the result below `otad/`.
        options: Parsed arguments with `seed` and `quick`.
        beside: Names of arguments that do not change any figure.
        **more: Settings that are no arguments.
    """
    left_out = ("seed", *beside)
    settings = {key: value for key, value in vars(options).items() if key not in left_out} | more
    name = f"otad/{name}{'_quick' if options.quick else ''}"
    return Parts(name, seed=options.seed, settings=settings)


def trained(name, build, train):
    """Returns a model from the cache of this machine, or builds, trains and keeps it."""
    path = RUNS / f"{name}.keras"
    if path.exists():
        return keras.saving.load_model(path)
    model = build()
    train(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    return model


def accuracy(model, x, y, batch_size=200):
    """Share of right predictions in percent."""
    return in_percent(right(model, x, y, batch_size))


def in_percent(rows):
    """The share of rows that are true, as the results store it; a share may be given itself."""
    return round(100.0 * float(np.mean(rows)), 2)


def right(model, x, y, batch_size=200):
    """Which predictions are right, a boolean array."""
    return np.argmax(model.predict(x, batch_size=batch_size, verbose=0), axis=1) == y


def some(x, y, count, seed=0):
    """Draws test points, as the paper does for robust accuracies."""
    rows = np.random.default_rng(seed).permutation(len(x))[:count]
    return x[rows], y[rows]


def estimator_of(model, shape, clip_values=(0.0, 1.0)):
    """ART estimator of an OTAD."""
    return classifier(
        model, input_shape=shape, clip_values=clip_values, outputs="logits", channels_first=False
    )


def attacked_accuracy(model, x, y, attack):
    """Accuracy in percent on what an attack makes of `x`."""
    return accuracy(model, attack.generate(x, y), y)


def gradient_attacks(model, shape, eps, *, steps=100, clip_values=(0.0, 1.0), batch_size=200):
    """The gradient attacks of a radius: through the backbone, and through the solver."""
    common = {"norm": 2, "eps": eps, "max_iter": steps, "batch_size": batch_size}
    common |= {"verbose": False}
    step = {"eps_step": 5.0 * eps / steps, "num_random_init": 1}
    exact = estimator_of(model, shape, clip_values)
    through = estimator_of(StraightThrough(model), shape, clip_values)
    return {
        "BPDA + PGD": ProjectedGradientDescent(through, **common, **step),
        "PGD, true gradient": ProjectedGradientDescent(exact, **common, **step),
        "AutoPGD, true gradient": AutoProjectedGradientDescent(
            exact, eps_step=2.0 * eps, nb_random_init=1, **common
        ),
    }


def square_attack(eps, *, queries, batch_size=200):
    """The Square attack of a radius in l2, compiled with the model.

    It is that of `lipot.attacks.AutoAttack`: ART's divides by the norm of a window that may be
    blank, and then asks the model about NaN images.
    """
    return AutoAttack(
        eps, norm=2, attacks=("square",), queries=queries, batch_size=batch_size, outputs="logits"
    )


def ngopt_attack(model, shape, sigma, *, budget, clip_values=(0.0, 1.0)):
    """The gradient-free Carlini-Wagner attack of a mutation."""
    return NGOptCarlini(estimator_of(model, shape, clip_values), sigma=sigma, budget=budget)
