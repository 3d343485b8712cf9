"""OTAD on red wine quality, a regression: table V.

    python -m benchmarks.otad.wine [--quick]

A network of 10 residual blocks predicts the score; OTAD answers in its place. Figures are those
of Gupta et al.: MSE, the mean error relative to the clean prediction E, and SMAPE, on clean
points, under random noise and under attack. Features are scaled to variance 1; the attack climbs
the squared error within an l2 ball, through the backbone (BPDA) and through the solver.
"""

import argparse

import keras
import numpy as np
from keras import ops

from benchmarks.otad import parts as shared
from lipot import backend, datasets
from lipot.models import OTAD, StraightThrough, transport_resnet

NOISES = (0.1, 0.2, 0.3, 0.5)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.epochs, options.steps = 3, 5
    data = datasets.load("wine", seed=options.seed)
    store = shared.store_of("wine", options)
    network = shared.trained(
        f"wine_{options.epochs}_{options.seed}", build, lambda net: train(net, data, options)
    )
    model = OTAD(network.get_layer("backbone"), network.get_layer("head"), 10, 2.0)
    model.adapt(data.x_train)
    models = {"network": network, "OTAD": model}
    store.run("clean", clean, models, data)
    for eps in NOISES[:1] if options.quick else NOISES:
        store.run(f"eps = {eps}", noisy, models, data, eps, options)


def build():
    backbone = keras.Sequential(
        [keras.Input((11,)), *transport_resnet(11, blocks=10).layers], name="backbone"
    )
    head = keras.Sequential([keras.Input((11,)), keras.layers.Dense(1)], name="head")
    return keras.Sequential([keras.Input((11,)), backbone, head])


def train(network, data, options):
    keras.utils.set_random_seed(options.seed)
    steps = options.epochs * (len(data.x_train) // 64 + 1)
    rate = keras.optimizers.schedules.CosineDecay(0.005, steps)
    network.compile(keras.optimizers.SGD(rate, momentum=0.9, clipnorm=5.0), "mse")
    # The head starts at the mean score, from where the blocks have little left to do.
    network.get_layer("head").layers[-1].bias.assign([float(np.mean(data.y_train))])
    network.fit(data.x_train, data.y_train, batch_size=64, epochs=options.epochs, verbose=0)


def clean(models, data):
    return {name: scores(model, data.x_test, data.y_test) for name, model in models.items()}


def noisy(models, data, eps, options):
    rng = np.random.default_rng(options.seed)
    noise = rng.normal(size=data.x_test.shape)
    noise *= eps / np.linalg.norm(noise, axis=1, keepdims=True)
    points = {"random noise": dict.fromkeys(models, data.x_test + noise)}
    points["attack"] = {name: climb(m, data, eps, options) for name, m in models.items()}
    through = climb(StraightThrough(models["OTAD"]), data, eps, options)
    points["attack through the backbone"] = {"OTAD": through}
    return {
        kind: {
            name: scores(models[name], x.astype("float32"), data.y_test, data.x_test)
            for name, x in inputs.items()
        }
        for kind, inputs in points.items()
    }


def climb(model, data, eps, options):
    """Normalized gradient steps on the squared error, from a random point of the ball."""
    x, y = data.x_test, ops.convert_to_tensor(data.y_test[:, None])
    rng = np.random.default_rng(options.seed + 1)
    shift = _of_length(rng.normal(size=x.shape), eps)

    def ascend(forward, inputs):
        def errors(z):
            return ops.sum(ops.square(forward(z) - y))

        return backend.value_and_input_gradient(errors, inputs)[1]

    run = backend.compile_over(model, ascend)
    for _ in range(options.steps):
        gradient = np.asarray(run((x + shift).astype("float32")))
        shift = shift + _of_length(gradient, 5.0 * eps / options.steps)
        length = np.linalg.norm(shift, axis=1, keepdims=True)
        shift *= np.minimum(1.0, eps / np.maximum(length, 1e-12))
    return x + shift


def scores(model, x, y, clean_x=None):
    """MSE, E and SMAPE of predictions; E compares with the prediction on the clean point."""
    predicted = model.predict(x, verbose=0)[:, 0].astype("float64")
    figures = {
        "MSE": round(float(np.mean((predicted - y) ** 2)), 4),
        "SMAPE": round(float(np.mean(2 * np.abs(predicted - y) / (np.abs(predicted) + y))), 4),
    }
    if clean_x is not None:
        before = model.predict(clean_x, verbose=0)[:, 0].astype("float64")
        moved = np.linalg.norm(predicted - before) / np.linalg.norm(before)
        figures["E"] = round(float(moved), 4)
    return figures


def _of_length(vectors, length):
    return vectors * (length / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


if __name__ == "__main__":
    main()
