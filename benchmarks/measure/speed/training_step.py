"""Times a training step of 1-Lipschitz networks against the same plain Keras network.

    python -m benchmarks.measure.speed.training_step [--steps 60] [--rounds 5] [--deel PYTHON]

What is timed comes after the first steps of a training, which `--warmup` counts: their gradients
change most, and a wide kernel is then brought back as a whole now and then. All networks run in
one process in turns, so that the machine's mood cancels in the ratio. "sorted" is the plain
network with GroupSort2 and this library's pooling in the place of ReLU and average pooling: what
lies between it and plain is the price of the activations, the rest of the kernels. deel-lip 1.5.0
needs TensorFlow 2.15: `--deel` names the Python of an environment that has both, where
`deel_lip/training_step.py` measures it right after ours. Without it the ratios shown beside ours
are those measured apart: 13.8 for the MLP and 2.3 for the CNN.
"""

import argparse
import functools
import json
import statistics
import subprocess
import time
from pathlib import Path

import keras
import numpy as np

from benchmarks.common import DEEL_LIP, write_result
from lipot import layers, optimizers

ORTHOGONALIZERS = ("retraction", "bjorck", "cholesky")
# The retraction with the optimizer that was made for it, in the place of Adam.
MANIFOLD = "manifold_adam"
# Inputs, and for dense networks width and number of the hidden layers.
DENSE = {"mlp": (784, 256, 3), "mlp1024": (784, 1024, 3), "mlp2048": (3072, 2048, 2)}
SHAPES = {name: shape[:1] for name, shape in DENSE.items()}
SHAPES |= {"cnn": (28, 28, 1), "resnet": (32, 32, 3)}
# What of --steps and --warmup each network has: a step of the residual network takes seconds.
SHARES = {"mlp": 1.0, "mlp1024": 0.5, "mlp2048": 0.2, "cnn": 1.0, "resnet": 0.05}


def mlp(dense, activation, inputs, width, depth):
    """Dense layers, such as 784-256-256-256-10."""
    hidden = [layer for _ in range(depth) for layer in (dense(width), activation())]
    return keras.Sequential([keras.Input((inputs,)), *hidden, dense(10)])


def mlps(dense, activation):
    """The dense networks by name, each as a function that builds it."""
    return {
        name: functools.partial(mlp, dense, activation, *shape) for name, shape in DENSE.items()
    }


def cnn(conv, dense, activation, pool):
    """32-32-64-64 on 28x28."""
    body = []
    for filters in (32, 64):
        body += [conv(filters, 3), activation(), conv(filters, 3), activation(), pool(2)]
    body += [keras.layers.Flatten(), dense(10)]
    return keras.Sequential([keras.Input((28, 28, 1)), *body])


def resnet(conv, dense, activation, merge, size=32):
    """ResNet-18 on size x size without normalization; shortcuts shrink by 2x2 patches."""
    inputs = keras.Input((size, size, 3))
    x = activation()(conv(64, 3)(inputs))
    for filters, strides in ((64, 1), (64, 1), *((n, s) for n in (128, 256, 512) for s in (2, 1))):
        shortcut = x if strides == 1 else conv(filters, 2, strides)(x)
        branch = conv(filters, 3, strides)(x)
        branch = conv(filters, 3)(activation()(branch))
        x = activation()(merge()([shortcut, branch]))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, dense(10)(x))


def plain_networks(activation, pool):
    """Stock Keras layers with the activation and the pooling given."""

    def conv(filters, size, strides=1):
        return keras.layers.Conv2D(filters, size, strides, padding="same")

    dense = keras.layers.Dense
    return {
        **mlps(dense, activation),
        "cnn": lambda: cnn(conv, dense, activation, pool),
        "resnet": lambda: resnet(conv, dense, activation, keras.layers.Add),
    }


def lipschitz_networks(orthogonalizer):
    """The 1-Lipschitz twins."""
    orthogonalizer = "retraction" if orthogonalizer == MANIFOLD else orthogonalizer

    def dense(units):
        return layers.SpectralDense(units, orthogonalizer=orthogonalizer)

    def conv(filters, size):
        return layers.SpectralConv2D(filters, size, orthogonalizer=orthogonalizer)

    def orthogonal(filters, size, strides=1):
        return layers.OrthogonalConv2D(filters, size, strides, orthogonalizer=orthogonalizer)

    sort = layers.GroupSort2
    return {
        **mlps(dense, sort),
        "cnn": lambda: cnn(conv, dense, sort, layers.ScaledL2NormPooling2D),
        "resnet": lambda: resnet(orthogonal, dense, sort, keras.layers.Average),
    }


PLAIN = {
    "plain": lambda: plain_networks(keras.layers.ReLU, keras.layers.AveragePooling2D),
    "sorted": lambda: plain_networks(layers.GroupSort2, layers.ScaledL2NormPooling2D),
}


def spent(work, parts):
    """Seconds of the clock and of the processor that `work()` takes, each over `parts`."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - wall) / parts, (time.process_time() - cpu) / parts


def measure(models, x, y, arguments):
    """Interleaves the models; returns the median of each and its ratio to the plain one."""
    how = {"batch_size": arguments.batch_size, "verbose": 0}
    for name, model in models.items():
        optimizer = optimizers.ManifoldAdam() if name == MANIFOLD else "adam"
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(x[:512], y[:512], epochs=arguments.warmup, **how)
        model.predict(x[:512], **how)
    times = {name: {"train": [], "predict": []} for name in models}
    for _ in range(arguments.rounds):
        for name, model in models.items():
            fit, predict = (functools.partial(f, x, **how) for f in (model.fit, model.predict))
            times[name]["train"].append(spent(lambda fit=fit: fit(y=y), arguments.steps))
            # The kernels of inference are computed once, at the first call.
            model.predict(x[:1], verbose=0)
            times[name]["predict"].append(spent(predict, arguments.steps))
    return {name: summary(times[name], times["plain"]) for name in models}


def summary(ours, plain):
    """Medians, and medians of the ratios round by round, by the clock and by the processor."""
    found = {}
    for what, rows in ours.items():
        found[f"{what}_ms"] = 1e3 * statistics.median(wall for wall, _ in rows)
        ratios = [
            [our / their for our, their in zip(row, twin)] for row, twin in zip(rows, plain[what])
        ]
        found[f"{what}_ratio"], found[f"{what}_cpu_ratio"] = map(statistics.median, zip(*ratios))
    return found


def main():
    arguments = parse()
    keras.utils.set_random_seed(arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    figures = {}
    for network in arguments.networks:
        steps = max(2, int(SHARES[network] * arguments.steps))
        count = steps * arguments.batch_size
        x = rng.random((count, *SHAPES[network]), dtype="float32")
        models = {name: make()[network]() for name, make in PLAIN.items()}
        models |= {name: lipschitz_networks(name)[network]() for name in arguments.only}
        warmup = max(1, int(SHARES[network] * arguments.warmup))
        timing = argparse.Namespace(**{**vars(arguments), "steps": steps, "warmup": warmup})
        figures[network] = measure(models, x, rng.integers(0, 10, count), timing)
        for name, row in figures[network].items():
            print_row(network, name, row)
    if arguments.deel:
        figures |= deel_lip(arguments)
    else:
        figures["deel-lip 1.5.0, measured apart"] = {"mlp": 13.8, "cnn": 2.3}
    # Where the other Python lies is nobody's business.
    settings = {**vars(arguments), "deel": bool(arguments.deel)}
    print(write_result(arguments.name, figures, seed=arguments.seed, settings=settings))


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=30, help="passes over 512 images before")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[*ORTHOGONALIZERS, MANIFOLD])
    parser.add_argument("--networks", nargs="+", default=["mlp", "cnn"], choices=SHAPES)
    parser.add_argument("--name", default="training_step", help="of the result")
    parser.add_argument("--deel", metavar="PYTHON", help="Python that has deel-lip 1.5.0")
    return parser.parse_args()


def print_row(network, name, row):
    print(
        f"{network:6s} {name:12s} step {row['train_ms']:8.2f} ms  {ratios(row, 'train')}"
        f"   predict {row['predict_ms']:7.2f} ms  {ratios(row, 'predict')}",
        flush=True,
    )


def ratios(row, what):
    """A row's ratios to the plain network, by the clock and by the processor's time."""
    return f"x{row[what + '_ratio']:.2f} (cpu x{row[what + '_cpu_ratio']:.2f})"


def deel_lip(arguments):
    """Runs the same measurement on deel-lip in its own environment."""
    script = Path(__file__).parents[1] / "deel_lip" / "training_step.py"
    sizes = (arguments.steps, arguments.rounds, arguments.batch_size)
    command = [arguments.deel, str(script), *map(str, sizes)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = json.loads(output.splitlines()[-1])
    for network, row in found.items():
        print_row(network, "deel-lip", row)
    return {DEEL_LIP: found}


if __name__ == "__main__":
    main()
