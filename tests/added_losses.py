"""Trains models with losses of `add_loss` on any number of devices, as `tests.replicas` does.

`python -m tests.added_losses 2 fit` prints what became of them.
"""

import json
import sys

import keras
import numpy as np

from tests.replicas import spread

RNG = np.random.default_rng(0)
# The shares of a batch differ much: losses of another replica show. Each has a mean of 0, so that
# the means that `BatchCentering` subtracts are the same on all.
HALVES = [scale * RNG.random((2, 6)).astype("float32") for scale in (1, 5, 2, 9)]
X = np.concatenate([rows for half in HALVES for rows in (half, -half)])
Y = np.eye(3, dtype="float32")[RNG.integers(0, 3, len(X))]
BATCH = 8


class Charge(keras.layers.Layer):
    """Returns its input and adds its size to the losses."""

    def call(self, inputs):
        self.add_loss(keras.ops.mean(keras.ops.sum(keras.ops.square(inputs), axis=-1)))
        return inputs


def networks():
    """Each case: the layers of a network, and the loss it is trained by."""
    from lipot import layers, losses

    penalty = keras.regularizers.L2(0.1)
    kernels = [
        layers.BatchCentering(),
        Charge(),
        layers.SpectralDense(6, orthogonalizer="bjorck"),
        layers.SDPResidualDense(4),
        layers.LInfDistanceDense(6, p=8),
    ]
    branch = [layers.SpectralDense(6), keras.layers.Dense(6, activity_regularizer=penalty)]
    transport = [Charge(), layers.TransportResidual(branch, weight=1.0)]
    return {
        "kernels with states": (kernels, keras.losses.CategoricalCrossentropy(from_logits=True)),
        "an exchanging loss": (transport, losses.MulticlassHKR(10.0)),
    }


def adversarial():
    """An adversarial model whose losses gather the batch."""
    import lipot

    layers = [keras.Input((6,)), keras.layers.Dense(6), Charge(), keras.layers.Dense(3)]
    terms = [lipot.losses.AdversarialCrossentropy(), lipot.losses.SlicedWasserstein()]
    attack = lipot.attacks.PGD(0.05, steps=2, clip_min=None, clip_max=None, seed=1)
    return lipot.AdversarialModel(keras.Sequential(layers), attack, terms)


def fit(count):
    """Losses and weights after two epochs of each case."""
    found = {}
    with spread(count):
        keras.utils.set_random_seed(3)
        for name, (middle, loss) in networks().items():
            ends = keras.layers.Dense(6), keras.layers.Dense(3)
            model = keras.Sequential([keras.Input((6,)), ends[0], *middle, ends[1]])
            model.compile(keras.optimizers.SGD(0.01), loss)
            found[name] = _trained(model)
        model = adversarial()
        model.compile(keras.optimizers.SGD(0.01))
        found["adversarial"] = _trained(model)
    return found


def _trained(model):
    settings = {"batch_size": BATCH, "epochs": 2, "shuffle": False, "verbose": 0}
    history = model.fit(X, Y, **settings, validation_data=(X, Y)).history
    return {"history": history, "weights": [w.tolist() for w in model.get_weights()]}


if __name__ == "__main__":
    print(json.dumps(fit(int(sys.argv[1]))))
