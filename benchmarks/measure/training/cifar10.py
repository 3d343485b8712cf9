"""Trains and certifies a deep 1-Lipschitz network on CIFAR-10: made for a GPU, resumable.

    KERAS_BACKEND=jax LIPOT_DATA_DIR=... python -m benchmarks.measure.training.cifar10 \
        [--extra-data 1m.npz]

Stem, a trunk of linear residual convolutions, a neck, orthonormal dense layers and a last layer
that the EMMA loss knows, with cropped and flipped images. Kill it at any time: the same command
continues from the last epoch. At its end a process of its own certifies the test images in float64
on the processor, with TensorFlow, and writes a result; `--certify` does only that. Generated images
(`--extra-data`, an `.npz` with `image` as uint8 and `label`) fill half of each batch.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np

import lipot
from benchmarks.common import write_result
from benchmarks.common.cifar10_batches import Batches, read_extra
from benchmarks.common.cifar10_certificate import certified_figures
from lipot import layers, losses, metrics

RUNS = Path("runs/cifar10_certified")
# In percent, from the README of LiResNet, whose training adds generated data.
LIRESNET = {"clean": 87.0, "certified at 36/255": 78.1}
COST = """\
The default network has 48 million weights, of which an image meets the trunk's 28 million 256
times: some 44 GFLOP a training image, so that 300 epochs of 50,000 images are
about 7e17 floating point operations, and twice as many with --extra-data. This is counted, not
measured: divide by what your GPU reaches in float32 or TensorFloat-32. The last stage, on the
processor, needs some 16 GB of memory and takes minutes to an hour by its cores. For a first look
take --width 64 --blocks 4 --dense-width 256 --dense-layers 2 --epochs 30.
"""
# The certificate is one of float64 products, which Keras turns into float32 on JAX.
ON_THE_PROCESSOR = {"CUDA_VISIBLE_DEVICES": "", "KERAS_BACKEND": "tensorflow"}


def network(trunk="residual", *, width=512, blocks=12, dense_width=1024, dense_layers=8):
    """Builds the classifier of 32 x 32 images; every layer but the last is 1-Lipschitz."""
    sort = layers.GroupSort2
    body = [part for _ in range(blocks) for part in (TRUNKS[trunk](width, blocks), sort())]
    dense = [
        part for _ in range(dense_layers) for part in (layers.SpectralDense(dense_width), sort())
    ]
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            # About the mean: what all images share would dominate the first gradients.
            keras.layers.Rescaling(1.0, offset=-0.5),
            layers.OrthogonalConv2D(width, 5, strides=2),
            sort(),
            *body,
            # Patches that do not overlap: 4 x 4 x width orthonormal features are left.
            layers.SpectralConv2D(width, 4, strides=4),
            sort(),
            keras.layers.Flatten(),
            *dense,
            layers.FrobeniusDense(10, disjoint_neurons=True),
        ],
        name="cifar10",
    )


def linear_residual(width, blocks):
    """`x + conv(x)` divided by the norm of this whole map, as one kernel (LiResNet's block)."""
    block = layers.SpectralConv2D(width, 3, eps_bjorck=None)
    block.build((None, 16, 16, width))
    branch = keras.ops.convert_to_numpy(block.kernel) / blocks
    branch[1, 1] += np.eye(width)
    block.kernel.assign(branch)
    return block


def learned_average(width, blocks):
    """A learned average of the input and an orthogonal convolution of it."""
    return layers.LipschitzResidual([layers.OrthogonalConv2D(width, 3)])


def orthogonal(width, blocks):
    """An orthogonal convolution."""
    return layers.OrthogonalConv2D(width, 3)


TRUNKS = {"residual": linear_residual, "average": learned_average, "orthogonal": orthogonal}


def asked_for(options):
    """The network of some command line options."""
    sizes = ("width", "blocks", "dense_width", "dense_layers")
    return network(options.trunk, **{name: getattr(options, name) for name in sizes})


class ByEpoch(keras.callbacks.Callback):
    """Sets what depends on the epoch: the order of the images, and a radius that grows.

    It reads nothing but the number of the epoch, so a training that was killed goes on alike.
    """

    def __init__(self, batches, loss, *, eps, ramp):
        super().__init__()
        self.batches, self.loss, self.eps, self.ramp = batches, loss, eps, ramp

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.start(epoch)
        self.loss.eps = self.eps * min(1.0, (epoch + 1) / max(1.0, self.ramp))


def train(options, folder):
    """Trains, or goes on to train, and saves the model."""
    keras.utils.set_random_seed(options.seed)
    data = lipot.datasets.load("cifar10")
    extra = read_extra(options.extra_data) if options.extra_data else None
    batches = Batches(
        data.x_train[: options.images],
        data.y_train_onehot[: options.images],
        extra,
        batch_size=options.batch_size,
        seed=options.seed,
    )
    model = asked_for(options)
    print(f"{model.count_params():,} numbers, {len(batches)} steps an epoch", flush=True)
    loss = losses.EMMA(options.eps, head=model.layers[-1], tau=options.tau)
    steps = options.epochs * len(batches)
    warmup = min(options.warmup * len(batches), steps // 2)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup, warmup_target=options.learning_rate, warmup_steps=warmup
    )
    certified = metrics.CategoricalProvableRobustAccuracy(36 / 255, name="certified")
    model.compile(keras.optimizers.Nadam(rate), loss, metrics=["accuracy", certified])
    model.fit(
        batches,
        epochs=options.epochs,
        verbose=2,
        callbacks=[
            ByEpoch(batches, loss, eps=options.eps, ramp=options.epochs / 2),
            # Two copies: one of them is whole even when a kill meets the other being written.
            keras.callbacks.BackupAndRestore(
                folder / "backup", double_checkpoint=True, delete_checkpoint=False
            ),
        ],
    )
    model.save_weights(folder / "model.weights.h5")


def certify(options, folder):
    """Certifies the test images and writes the result."""
    data = lipot.datasets.load("cifar10")
    model = asked_for(options)
    model.load_weights(folder / "model.weights.h5")
    model.save(folder / "model.keras")
    figures = certified_figures(model, data, options.points) | {"LiResNet, its README": LIRESNET}
    print(json.dumps(figures, indent=1))
    print(
        write_result(f"cifar10/{folder.name}", figures, seed=options.seed, settings=vars(options))
    )


def parse(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=COST, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trunk", choices=list(TRUNKS), default="residual")
    parser.add_argument("--width", type=int, default=512, help="channels of the trunk")
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--dense-width", type=int, default=1024)
    parser.add_argument("--dense-layers", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--warmup", type=int, default=10, help="epochs of a growing learning rate")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--eps", type=float, default=72 / 255, help="l2 radius to train for")
    parser.add_argument("--tau", type=float, default=10.0, help="inverse temperature of the loss")
    parser.add_argument("--extra-data", metavar="NPZ", help="generated images, half of each batch")
    parser.add_argument("--images", type=int, default=50000, help="training images of CIFAR-10")
    parser.add_argument("--points", type=int, default=10000, help="test images to certify")
    parser.add_argument("--name", help="of the run; by default made of its settings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--certify", action="store_true", help="certify a finished training only")
    return parser.parse_args(arguments)


def main():
    options = parse()
    folder = RUNS / (options.name or default_name(options))
    if options.certify:
        # Sums of thousands of terms, twenty layers deep, could lose as much as a radius in float32,
        # by the worst case that a proof must take: what is certified is the network in float64.
        keras.config.set_dtype_policy("float64")
        certify(options, folder)
        return
    check_settings(options, folder)
    train(options, folder)
    command = [
        sys.executable,
        "-m",
        "benchmarks.measure.training.cifar10",
        *sys.argv[1:],
        "--certify",
    ]
    subprocess.run(command, check=True, env={**os.environ, **ON_THE_PROCESSOR})


def default_name(options):
    """A name that tells runs apart."""
    extra = "-extra" if options.extra_data else ""
    shape = f"{options.width}x{options.blocks}-{options.dense_width}x{options.dense_layers}"
    return f"{options.trunk}-{shape}-{options.epochs}{extra}-{options.seed}"


def check_settings(options, folder):
    """Keeps the settings beside the run; raises where it was begun with others."""
    settings = {k: v for k, v in vars(options).items() if k not in ("certify", "points")}
    file = folder / "settings.json"
    if file.exists() and (begun := json.loads(file.read_text())) != settings:
        changed = [name for name in settings if settings[name] != begun.get(name)]
        raise SystemExit(f"{folder} was begun with other settings: {changed}. Give a --name.")
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(settings))


if __name__ == "__main__":
    main()
