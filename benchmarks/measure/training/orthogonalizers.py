"""Does the fast default lose accuracy? Retraction against 15 Björck iterations at equal epochs.

    LIPOT_DATA_DIR=... python -m benchmarks.measure.training.orthogonalizers \
        [--data mnist cifar10] [--epochs 5]

The same network, seed, loss and batches; only what keeps the kernels orthonormal differs. The
median over the seeds of clean and proven accuracy on the test set is compared.
"""

import argparse
import statistics
import time

import keras

import lipot
from benchmarks.common import write_result
from lipot import layers, losses, optimizers

# For each data set: the radius to prove, and the margin of the hinge.
TASKS = {"mnist": (1.58, 1.75), "cifar10": (36 / 255, 0.35)}
# The last one is the retraction, trained with the optimizer that was made for it.
ORTHOGONALIZERS = ("retraction", "bjorck", "cholesky", "manifold_adam")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--only", nargs="+", default=ORTHOGONALIZERS, choices=ORTHOGONALIZERS)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--alpha", type=float, default=35.0)
    parser.add_argument("--name", default="orthogonalizers", help="of the result")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    options = parser.parse_args()
    figures = {}
    for name in options.data:
        data = lipot.datasets.load(name)
        runs = {kind: [] for kind in options.only}
        for seed in options.seeds:
            for kind in options.only:
                runs[kind].append(measure(data, *TASKS[name], kind, seed, options))
                print(name, kind, f"seed {seed}", runs[kind][-1], flush=True)
        figures[name] = {kind: summary(found) for kind, found in runs.items()}
        write_result(options.name, figures, seed=options.seeds[0], settings=vars(options))


def measure(data, radius, margin, orthogonalizer, seed, options):
    """Trains one network and certifies it on the test set."""
    keras.utils.set_random_seed(seed)
    manifold = orthogonalizer == "manifold_adam"
    model = network(data.x_train, "retraction" if manifold else orthogonalizer, options.width)
    steps = options.epochs * -(-len(data.x_train) // 128)
    optimizer = optimizers.ManifoldAdam if manifold else keras.optimizers.Adam
    model.compile(
        optimizer(keras.optimizers.schedules.CosineDecay(1e-3, steps, alpha=0.01)),
        losses.MulticlassHKR(alpha=options.alpha, min_margin=margin),
    )
    start = time.perf_counter()
    model.fit(data.x_train, data.y_train_onehot, batch_size=128, epochs=options.epochs, verbose=0)
    seconds = time.perf_counter() - start
    certificate = lipot.certify(model, data.x_test, data.y_test)
    return {
        "clean": 100.0 * float(certificate.correct.mean()),
        f"proven at {radius:.3g}": 100.0 * certificate.accuracy(radius),
        "seconds": seconds,
    }


def network(images, orthogonalizer, width):
    """Three dense layers with sorted pairs, and a head of unit rows.

    The mean of the images is taken off first: their common part would dominate the gradient of
    the first kernel, and Adam's steps with it.
    """
    body = [
        layer
        for _ in range(3)
        for layer in (
            layers.SpectralDense(width, orthogonalizer=orthogonalizer),
            layers.GroupSort2(),
        )
    ]
    head = layers.FrobeniusDense(10, disjoint_neurons=True)
    centered = keras.layers.Rescaling(1.0, offset=-float(images.mean()))
    flat = keras.layers.Flatten()
    return keras.Sequential([keras.Input(images.shape[1:]), centered, flat, *body, head])


def summary(runs):
    """Medians over the seeds, and every run."""
    medians = {key: round(statistics.median(run[key] for run in runs), 2) for key in runs[0]}
    return {**medians, "runs": runs}


if __name__ == "__main__":
    main()
