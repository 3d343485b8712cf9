"""How the cost of orthogonality falls as the work grows: sweeps over batch, width and depth.

    python -m benchmarks.measure.speed.overhead [--steps 20] [--rounds 5]

Each point is the time of a training step of an MLP with `SpectralDense` and `GroupSort2`, relative
to the same MLP of stock Keras layers and ReLU, both in one process in turns: by the clock, and by
the processor's time, which a busy machine moves less. The result is drawn to
docs/images/overhead.png. The orthogonal kernels cost the same whatever the batch, so their share
falls with it; it grows with the width, whose cube they cost where a batch costs its square.
"""

import argparse

import keras
import matplotlib
import numpy as np

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from benchmarks.common import DOCS, write_result
from benchmarks.measure.speed.training_step import measure, ratios
from lipot import layers

PLOT = DOCS / "images" / "overhead.png"
BASE = {"batch": 128, "width": 256, "depth": 3}
SWEEPS = {
    "batch": (32, 64, 128, 256, 512, 1024),
    "width": (64, 128, 256, 512, 1024),
    "depth": (1, 2, 3, 6, 12),
}
INPUTS = 784
LINES = (("train_cpu_ratio", "o-", "processor time"), ("train_ratio", "x:", "clock"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    figures = {}
    for name, values in SWEEPS.items():
        figures[name] = {}
        for value in values:
            found = ratio({**BASE, name: value}, options)
            figures[name][str(value)] = found
            print(f"{name} {value}: step {ratios(found, 'train')}", flush=True)
        write_result("overhead", figures, seed=options.seed, settings={**vars(options), **BASE})
    draw(figures)


def ratio(size, options):
    """Times one pair of networks; returns the figures of the 1-Lipschitz one."""
    keras.utils.set_random_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    count = size["batch"] * options.steps
    x, y = rng.random((count, INPUTS), dtype="float32"), rng.integers(0, 10, count)
    models = {
        "plain": mlp(keras.layers.Dense, keras.layers.ReLU, size),
        "orthonormal": mlp(layers.SpectralDense, layers.GroupSort2, size),
    }
    timing = argparse.Namespace(
        steps=options.steps, rounds=options.rounds, batch_size=size["batch"]
    )
    return measure(models, x, y, timing)["orthonormal"]


def mlp(dense, activation, size):
    hidden = [layer for _ in range(size["depth"]) for layer in (dense(size["width"]), activation())]
    return keras.Sequential([keras.Input((INPUTS,)), *hidden, dense(10)])


def draw(figures):
    """Draws one panel a sweep, the ratio to plain Keras against what is swept."""
    fig, panels = plt.subplots(1, len(figures), figsize=(9, 3), sharey=True)
    for axes, (name, found) in zip(panels, figures.items()):
        values = [int(value) for value in found]
        for key, style, label in LINES:
            heights = [point[key] for point in found.values()]
            axes.semilogx(values, heights, style, base=2, label=label)
        axes.axhline(1.0, color="gray", linewidth=1, linestyle=":")
        axes.set_xticks(values, [str(value) for value in values])
        axes.minorticks_off()
        axes.set_xlabel(name)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("training step / plain Keras")
    panels[0].set_ylim(bottom=0.9)
    panels[0].legend(frameon=False)
    fig.tight_layout()
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(PLOT, dpi=150)
    plt.close(fig)


if __name__ == "__main__":
    main()
