"""A 1-Lipschitz convolutional network on digits: train, prove, compare the proof to an attack.

python examples/hkr_digits.py [--epochs 30] [--out digits.keras]
"""

import argparse

import keras
import numpy as np
from art.attacks.evasion import ProjectedGradientDescent

import lipot
from lipot import layers
from lipot.interop import art


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", default="digits.keras")
    options = parser.parse_args()

    keras.utils.set_random_seed(0)
    digits = lipot.datasets.load("digits")
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.SpectralConv2D(16, 2, strides=2),
            layers.GroupSort2(),
            layers.SpectralConv2D(64, 2, strides=2),
            layers.GroupSort2(),
            keras.layers.Flatten(),
            layers.SpectralDense(128),
            layers.GroupSort2(),
            layers.FrobeniusDense(10),
        ]
    )
    # A rate that falls to zero is worth several points of proven accuracy.
    rate = keras.optimizers.schedules.CosineDecay(1e-2, options.epochs * 23)
    model.compile(
        keras.optimizers.Adam(rate),
        lipot.losses.MulticlassHKR(alpha=20.0, min_margin=0.65),
        metrics=["accuracy", lipot.metrics.CategoricalProvableRobustAccuracy(epsilon=0.25)],
    )
    model.fit(
        digits.x_train, digits.y_train_onehot, batch_size=64, epochs=options.epochs, verbose=2
    )
    model.save(options.out)
    print(f"Saved {options.out}; its Lipschitz constant is {lipot.lipschitz_constant(model):.4f}")

    certificate = lipot.certify(model, digits.x_test, digits.y_test)
    target = art.classifier(model, clip_values=digits.clip_values, loss="difference_logits_ratio")
    for eps in (0.25, 0.5, 0.75):
        attacked = accuracy_under_pgd(target, digits, eps)
        print(f"l2 radius {eps}: {certificate.accuracy(eps):.3f} proven, {attacked:.3f} attacked")


def accuracy_under_pgd(target, data, eps):
    """Accuracy on the test points after 20 steps of projected gradient descent."""
    attack = ProjectedGradientDescent(
        target, norm=2, eps=eps, eps_step=eps / 5, max_iter=20, batch_size=512, verbose=False
    )
    moved = attack.generate(data.x_test, data.y_test)
    return np.mean(np.argmax(target.predict(moved), axis=1) == data.y_test)


if __name__ == "__main__":
    main()
