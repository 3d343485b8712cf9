"""A binary 1-Lipschitz classifier of the plane, trained with hinge-KR, and its level lines.

    python examples/hkr_two_moons.py [--epochs 40] [--out two-moons.png]

The output f(x) is positive on one class, negative on the other, and |f(x)| is never more than the
distance from x to the line f = 0: the certificate can be read from the picture.
"""

import argparse

import keras
import matplotlib.pyplot as plt
import numpy as np

import lipot
from lipot import layers


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--out", default="two-moons.png")
    options = parser.parse_args()

    keras.utils.set_random_seed(0)
    moons = lipot.datasets.load("two_moons")
    model = keras.Sequential(
        [
            keras.Input((2,)),
            layers.SpectralDense(64),
            layers.FullSort(),
            layers.SpectralDense(64),
            layers.FullSort(),
            layers.SpectralDense(32),
            layers.FullSort(),
            layers.FrobeniusDense(1),
        ]
    )
    rate = keras.optimizers.schedules.CosineDecay(1e-2, options.epochs * 8)
    model.compile(
        keras.optimizers.Adam(rate),
        lipot.losses.HKR(alpha=20.0, min_margin=0.4),
        metrics=[lipot.metrics.BinaryProvableRobustAccuracy(epsilon=0.1)],
    )
    labels = moons.y_train[:, None].astype("float32")
    model.fit(moons.x_train, labels, batch_size=256, epochs=options.epochs, verbose=2)

    certificate = lipot.certify(model, moons.x_test, moons.y_test)
    for eps in (0.0, 0.1, 0.2):
        print(f"l2 radius {eps}: {100 * certificate.accuracy(eps):.1f} % proven")
    draw(model, moons, options.out)


def draw(model, moons, file):
    """Draws the level lines of the network over the test points."""
    columns, rows = np.linspace(-1.5, 2.5, 200), np.linspace(-1.0, 1.5, 125)
    grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    values = model.predict(grid, batch_size=4096, verbose=0).reshape(125, 200)

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.scatter(*moons.x_test.T, c=moons.y_test, cmap="RdBu", s=5)
    lines = axes.contour(columns, rows, values, levels=np.arange(-5, 6) / 10, colors="gray")
    axes.clabel(lines, fontsize=8)
    axes.contour(columns, rows, values, levels=[0.0], colors="black", linewidths=2.5)
    axes.set_aspect("equal")
    figure.savefig(file, dpi=150)
    print(f"Drew {file}")


if __name__ == "__main__":
    main()
