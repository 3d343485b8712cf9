"""gloro on MNIST for the time that lipot's network had, certified by lipot and by itself.

    LIPOT_DATA_DIR=... python -m benchmarks.measure.training.gloro_mnist --gloro PYTHON \
        [--epochs 7]

gloro needs TensorFlow 2.15: `--gloro` names the Python of an environment that has both, where
`gloro/mnist.py` trains it with its authors' network and settings, for as many epochs as take the
time on the machine at hand: its schedules need the number. Its kernels come back into stock
Keras layers, and `lipot.certify` proves what is so of them, in float64. What gloro itself claims,
in float32 and without counting rounding, stands beside it.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import keras
import numpy as np

import lipot
from benchmarks.common import write_result
from lipot.layers import GroupSort2

RADII = (0.3, 1.58)
# What the authors give for MNIST at 1.58, but for 300 epochs.
SETTINGS = {
    "epsilon": 1.58,
    "epsilon_schedule": "[0.01]-log-[50%:1.1]",
    "loss": "sparse_trades_kl.1.5",
    "learning_rate": 1e-3,
    "learning_rate_schedule": "decay_after_half_to_0.000001",
    "batch_size": 512,
}


def stock():
    """gloro's network in stock layers; its `MinMax` sorts pairs as `GroupSort2` does."""
    body = [
        part
        for filters in (32, 64)
        for size, strides in ((3, 1), (4, 2))
        for part in (
            keras.layers.Conv2D(filters, size, strides, padding="same"),
            GroupSort2(),
        )
    ]
    dense = [part for _ in range(2) for part in (keras.layers.Dense(512), GroupSort2())]
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            *body,
            keras.layers.Flatten(),
            *dense,
            keras.layers.Dense(10),
        ]
    )


def trained(data, options):
    """What gloro found in its environment, by name."""
    settings = {**SETTINGS, "epochs": options.epochs, "seed": options.seed}
    script = Path(__file__).parents[1] / "gloro" / "mnist.py"
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder, "data.npz"), Path(folder, "found.npz")
        n = options.images
        np.savez(given, x_train=data.x_train[:n], y_train=data.y_train[:n], x_test=data.x_test)
        command = [options.gloro, script, given, found, json.dumps(settings)]
        subprocess.run(list(map(str, command)), check=True)
        with np.load(found, allow_pickle=False) as arrays:
            return dict(arrays)


def figures_of(found, data):
    """What is proven of the network, and what gloro claims."""
    logits, radius, minutes = (found.pop(name) for name in ("logits", "radius", "minutes"))
    keras.config.set_dtype_policy("float64")
    model = stock()
    model.set_weights([found[str(i)] for i in range(len(found))])
    certificate = lipot.certify(model, data.x_test, data.y_test)
    rebuilt = model.predict(data.x_test, batch_size=500, verbose=0)
    right = logits.argmax(axis=1) == data.y_test
    return {
        "minutes": float(minutes[0]),
        "processor_minutes": float(minutes[1]),
        "clean": float(certificate.correct.mean()),
        "certified": {str(eps): certificate.accuracy(eps) for eps in RADII},
        "claimed": {str(eps): float(np.mean(right & (radius > eps))) for eps in RADII},
        "largest_difference_of_rebuilt_logits": float(np.abs(rebuilt - logits).max()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gloro", metavar="PYTHON", required=True)
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--images", type=int, default=60000, help="of training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--result", default="gloro_mnist", help="name of the stored result")
    options = parser.parse_args()
    data = lipot.datasets.load("mnist")
    figures = figures_of(trained(data, options), data)
    print(json.dumps(figures, indent=1))
    settings = {**SETTINGS, "epochs": options.epochs, "images": options.images}
    print(write_result(options.result, figures, seed=options.seed, settings=settings))


if __name__ == "__main__":
    main()
