"""Trains a 1-Lipschitz critic with the KR loss; compares it with the exact Wasserstein distance.

    python -m benchmarks.measure.training.wasserstein_critic

Two point clouds in the plane; the reference is the linear program of POT (`ot.emd2`).
"""

import argparse

import keras
import numpy as np
import ot

from benchmarks.common import write_result
from lipot import layers, losses


def clouds(points, seed):
    """A ring, and a pair of blobs beside it."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0.0, 2.0 * np.pi, points)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.05 * rng.normal(size=(points, 2))
    side = rng.integers(0, 2, points)[:, None]
    blobs = np.where(side, (2.5, 1.0), (-0.5, 2.5)) + 0.3 * rng.normal(size=(points, 2))
    return ring.astype("float32"), blobs.astype("float32")


def critic():
    """A dense network of width 128; FullSort, as the hKR paper uses for dense layers."""
    hidden = [f() for _ in range(3) for f in (lambda: layers.SpectralDense(128), layers.FullSort)]
    return keras.Sequential([keras.Input((2,)), *hidden, layers.FrobeniusDense(1)])


def estimate(mu, nu, epochs, seed):
    """The critic's value of the dual: mean over mu minus mean over nu."""
    keras.utils.set_random_seed(seed)
    model = critic()
    x = np.concatenate([mu, nu])
    y = np.concatenate([np.ones(len(mu)), -np.ones(len(nu))]).astype("float32")[:, None]
    steps = epochs * len(x) // 256
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps, alpha=0.01)
    # KR is an estimate of the distance: the critic maximizes it.
    model.compile(keras.optimizers.Adam(rate), losses.HKR(alpha=0.0))
    model.fit(x, y, batch_size=256, epochs=epochs, verbose=0)
    values = model.predict(x, verbose=0).ravel()
    return float(values[: len(mu)].mean() - values[len(mu) :].mean()), model, (x, y)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    mu, nu = clouds(arguments.points, arguments.seed)
    weights = np.full(arguments.points, 1.0 / arguments.points)
    exact = float(ot.emd2(weights, weights, ot.dist(mu, nu, metric="euclidean"), numItermax=10**6))
    value, model, (x, y) = estimate(mu, nu, arguments.epochs, arguments.seed)
    loss = float(losses.KR()(y, model.predict(x, verbose=0)))
    figures = {"exact": exact, "critic": value, "KR loss": loss, "ratio": value / exact}
    print(figures)
    print(
        write_result("wasserstein_critic", figures, seed=arguments.seed, settings=vars(arguments))
    )


if __name__ == "__main__":
    main()
