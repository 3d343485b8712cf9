"""Trains LipNeXt on CIFAR-10 for a given time, on a GPU, and certifies the test images.

    KERAS_BACKEND=jax LIPOT_DATA_DIR=... python -m benchmarks.measure.training.lipnext_cifar10 \
        --minutes 11.5
    LIPOT_DATA_DIR=... python -m benchmarks.measure.training.lipnext_cifar10 \
        --certify --trained-on "one H200 GPU"

The first command trains in mixed bfloat16, on cropped and mirrored images, with the EMMA loss and
`ManifoldAdam`, and keeps the weights. The second certifies them in float64, on TensorFlow: a proof
takes the worst case of all roundings, which half precision would not survive. A training that was
killed goes on after its last epoch.
"""

import argparse
import json
import time
from pathlib import Path

import keras

import lipot
from benchmarks.common import write_result
from benchmarks.common.cifar10_batches import Batches, Shuffle
from benchmarks.common.cifar10_certificate import certified_figures
from lipot import callbacks, losses, optimizers

FOLDER = Path("runs/lipnext_cifar10")


def network(options):
    """LipNeXt with a free last layer, in the dtype policy at hand."""
    body = lipot.models.lipnext((32, 32, 3), 10, options.width, options.depth)
    features = body.layers[-2].output
    dense = keras.layers.Dense(10, kernel_initializer="orthogonal", dtype=features.dtype)
    return keras.Model(body.inputs, dense(features))


def train(options):
    """Trains for the time given, or goes on to, and keeps the weights."""
    keras.utils.set_random_seed(options.seed)
    keras.config.set_dtype_policy("mixed_bfloat16")
    data = lipot.datasets.load("cifar10")
    batches = Batches(
        data.x_train, data.y_train_onehot, None, batch_size=options.batch_size, seed=options.seed
    )
    model = network(options)
    loss = losses.EMMA(options.eps, head=model.layers[-1], tau=options.tau)
    optimizer = optimizers.ManifoldAdam(options.learning_rate, turn=options.turn)
    model.compile(optimizer, loss, metrics=["accuracy"])
    budget = callbacks.TimeBudget(options.minutes, options.learning_rate, warmup=0.03)
    backup = callbacks.Backup(FOLDER / "training", keeps=[budget])
    history = model.fit(
        batches, epochs=10_000, verbose=2, callbacks=[Shuffle(batches), budget, backup]
    )
    model.save_weights(FOLDER / "model.weights.h5")
    spent = {"minutes": budget.spent, "epochs": history.epoch[-1] + 1}
    (FOLDER / "spent.json").write_text(json.dumps(spent))


def certify(options):
    """Certifies the test images in float64 and writes the result."""
    keras.config.set_dtype_policy("float64")
    model = network(options)
    model.load_weights(FOLDER / "model.weights.h5")
    data, started = lipot.datasets.load("cifar10"), time.process_time()
    figures = {
        **certified_figures(model, data, options.points),
        "processor_minutes of the certificate": (time.process_time() - started) / 60,
        "training": json.loads((FOLDER / "spent.json").read_text()),
    }
    print(write_result("lipnext_cifar10", figures, seed=options.seed, settings=vars(options)))


def main():
    options = parsed()
    FOLDER.mkdir(parents=True, exist_ok=True)
    (certify if options.certify else train)(options)


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=11.5)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--eps", type=float, default=0.42, help="l2 radius to train for")
    parser.add_argument("--tau", type=float, default=1.0)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--turn", type=float, default=16.0, help="of the optimizer")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--points", type=int, default=10000, help="test images to certify")
    parser.add_argument("--certify", action="store_true", help="certify what was trained")
    parser.add_argument("--trained-on", default="one GPU", help="the machine, for the result")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
