"""Follows the singular values of kernels through an epoch of MNIST, step by step, and plots them.

LIPOT_DATA_DIR=... python -m benchmarks.measure.kernels.drift [--width 256] [--learning-rate 1e-3]
"""

import argparse
from pathlib import Path

import keras
import numpy as np

import lipot
from benchmarks.common import write_result
from lipot import layers, losses, optimizers

FIGURE = Path("docs/images/drift.png")
OPTIMIZERS = {"Adam": keras.optimizers.Adam, "ManifoldAdam": optimizers.ManifoldAdam}


class Recorder(keras.callbacks.Callback):
    """Keeps the smallest and the largest singular value of all dense kernels after each step."""

    def __init__(self):
        super().__init__()
        self.extremes = []

    def on_train_batch_end(self, batch, logs=None):
        kernels = [layer.kernel for layer in self.model.layers if "spectral" in layer.name]
        matrices = [keras.ops.convert_to_numpy(kernel).astype("float64") for kernel in kernels]
        values = np.concatenate([_singular_values(matrix) for matrix in matrices])
        self.extremes.append((float(values.min()), float(values.max())))


def _singular_values(matrix):
    small = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    return np.sqrt(np.maximum(np.linalg.eigvalsh(small.T @ small), 0.0))


def followed(name, options):
    """Extremes after each step of one epoch, and the accuracy at its end."""
    keras.utils.set_random_seed(options.seed)
    data = lipot.datasets.load("mnist")
    hidden = [
        part
        for _ in range(3)
        for part in (layers.SpectralDense(options.width), layers.GroupSort2())
    ]
    head = layers.FrobeniusDense(10, disjoint_neurons=True)
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), *hidden, head])
    loss = losses.MarginCategoricalCrossentropy(tau=4.0, min_margin=1.0)
    model.compile(OPTIMIZERS[name](options.learning_rate), loss, metrics=["accuracy"])
    recorder = Recorder()
    x, y = data.x_train[: options.images], data.y_train_onehot[: options.images]
    model.fit(x, y, batch_size=options.batch_size, verbose=2, callbacks=[recorder])
    accuracy = model.evaluate(data.x_test, data.y_test_onehot, verbose=0)[1]
    return recorder.extremes, accuracy


def plot(found, file):
    """Draws the extremes of each optimizer over the steps."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.2))
    axes.axhspan(0.98, 1.02, color="0.93", zorder=0, label="0.98 to 1.02")
    for color, (name, (extremes, _)) in zip(("#b45309", "#1d4ed8"), found.items()):
        low, high = np.transpose(extremes)
        axes.plot(high, color=color, label=name, linewidth=1)
        axes.plot(low, color=color, linewidth=1)
    axes.set(xlabel="step", ylabel="least and largest singular value", ylim=(0.96, 1.04))
    axes.legend(frameon=False, loc="upper center", ncols=3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)


def main():
    options = parsed()
    found = {name: followed(name, options) for name in OPTIMIZERS}
    figures = {
        name: {
            "least": min(low for low, _ in extremes),
            "largest": max(high for _, high in extremes),
            "steps": len(extremes),
            "accuracy": accuracy,
        }
        for name, (extremes, accuracy) in found.items()
    }
    print(figures)
    plot(found, FIGURE)
    print(
        write_result(f"drift_{options.width}", figures, seed=options.seed, settings=vars(options))
    )


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--images", type=int, default=60000)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
