"""Trains gloro 1.1.1 on MNIST; `gloro_mnist.py --gloro` runs it.

    PYTHON benchmarks/measure/gloro/mnist.py DATA.npz OUT.npz SETTINGS

It needs an environment of its own: pip install gloro==1.1.1 "tensorflow==2.15.*". It imports
nothing from lipot. DATA holds float images and class numbers; OUT gets the logits and the radii of
the test images as gloro gives them, the weights of the network as `0`, `1`, ..., and the minutes
it took. SETTINGS is one line of JSON. Network and settings are those that its authors give for
MNIST at a radius of 1.58, but for the number of epochs, 300; its schedules depend on that number.
"""

import json
import sys
import time

import keras
import numpy as np
from gloro import GloroNet
from gloro.layers import MinMax
from gloro.training.callbacks import EpsilonScheduler, LrScheduler
from gloro.training.metrics import clean_acc, vra


def network():
    """Four convolutions and three dense layers, sorted in pairs."""
    x = z = keras.Input((28, 28, 1))
    for filters in (32, 64):
        for size, strides in ((3, 1), (4, 2)):
            z = keras.layers.Conv2D(
                filters, size, strides, padding="same", kernel_initializer="orthogonal"
            )(z)
            z = MinMax()(z)
    z = keras.layers.Flatten()(z)
    for _ in range(2):
        z = MinMax()(keras.layers.Dense(512, kernel_initializer="orthogonal")(z))
    return x, keras.layers.Dense(10, kernel_initializer="orthogonal")(z)


def compiled(settings):
    model = GloroNet(*network(), epsilon=settings["epsilon"])
    model.compile(
        loss=settings["loss"],
        optimizer=keras.optimizers.Adam(settings["learning_rate"]),
        metrics=[clean_acc, vra],
    )
    return model


def main():
    data_file, out_file, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    keras.utils.set_random_seed(settings["seed"])
    with np.load(data_file, allow_pickle=False) as data:
        x, y, x_test = data["x_train"], data["y_train"][:, None], data["x_test"]
    model = compiled(settings)
    begun = time.monotonic(), time.process_time()
    model.fit(
        x,
        y,
        batch_size=settings["batch_size"],
        epochs=settings["epochs"],
        verbose=2,
        callbacks=[
            EpsilonScheduler(settings["epsilon_schedule"], verbose=False),
            LrScheduler(settings["learning_rate_schedule"], verbose=False),
        ],
    )
    minutes = (time.monotonic() - begun[0]) / 60, (time.process_time() - begun[1]) / 60
    model.freeze_lipschitz_constant()
    logits, radius = zip(
        *(model.predict_with_certified_radius(x_test[i : i + 500]) for i in range(0, 10_000, 500))
    )
    weights = {str(i): weight for i, weight in enumerate(model.f.get_weights())}
    np.savez(
        out_file,
        logits=np.concatenate(logits),
        radius=np.concatenate(radius),
        minutes=minutes,
        **weights,
    )


if __name__ == "__main__":
    main()
