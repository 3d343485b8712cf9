"""Cost of a training step of each method, relative to PGD adversarial training, in one run.

Usage: python -m benchmarks.transport.cost [--attack-steps 40 10]
"""

import argparse
import statistics
import time

import keras
import numpy as np

from benchmarks.common import write_result
from benchmarks.transport.recipes import MAIN
from lipot.models import AdversarialModel, carlini_wagner

METHODS = ("PGD-AT", "TRADES", "ALP", "SAT", "GOT-PGD-S", "GOT-PGD-LM", "SW", "OTJR")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--attack-steps", type=int, nargs="+", default=[40, 10])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    generator = np.random.default_rng(options.seed)
    x = generator.uniform(size=(options.batch_size, 28, 28, 1)).astype("float32")
    y = generator.integers(0, 10, options.batch_size)
    figures = {}
    for attack_steps in options.attack_steps:
        seconds = measure(options.methods, attack_steps, x, y, options.repeats)
        figures[f"{attack_steps} attack steps"] = table(seconds)
        print(f"{attack_steps} attack steps")
        for name, row in figures[f"{attack_steps} attack steps"].items():
            print(
                f"  {name:12} {row['cpu_seconds']:.3f} s CPU, {row['cpu_ratio']:.2f}x", flush=True
            )
        write_result("transport/cost", figures, seed=options.seed, settings=vars(options))


def measure(methods, attack_steps, x, y, repeats):
    """Returns `(wall, CPU)` seconds of `repeats` steps of each method, taken in turns."""
    models = {}
    for name in methods:
        recipe = MAIN[name]
        models[name] = AdversarialModel(
            carlini_wagner(), type(recipe.attack())(0.3, 0.01, attack_steps), recipe.losses()
        )
        models[name].compile(keras.optimizers.Adam(1e-3))
        models[name].train_on_batch(x, y)
    seconds = {name: [] for name in models}
    for _ in range(repeats):
        for name, model in models.items():
            wall, cpu = time.perf_counter(), time.process_time()
            model.train_on_batch(x, y)
            seconds[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return seconds


def table(seconds):
    """Summarizes each method by its median, and by the ratio to PGD-AT.

    CPU seconds of the process count what the step computes even when the machine is shared.
    """
    medians = {
        name: [statistics.median(column) for column in zip(*values)]
        for name, values in seconds.items()
    }
    base = medians["PGD-AT"]
    return {
        name: {
            "wall_seconds": round(wall, 4),
            "cpu_seconds": round(cpu, 4),
            "wall_ratio": round(wall / base[0], 3),
            "cpu_ratio": round(cpu / base[1], 3),
        }
        for name, (wall, cpu) in medians.items()
    }


if __name__ == "__main__":
    main()
