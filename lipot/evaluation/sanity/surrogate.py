"""A stock network that imitates a model, to attack the model through other gradients."""

import keras
import numpy as np

from lipot.interop import art

_STEPS = 300
_BATCH = 64
_HIDDEN = 64


def train(task, *, seed):
    """Trains a small stock network on a model's own answers.

    The model is asked about the points and about noisy copies of them, so that the imitation
    knows its decisions around the points too.

    Args:
        task: `Task` with the model and its points.
        seed: Integer.

    Returns:
        An estimator as from `lipot.interop.art.classifier`, on inputs in [0, 1].

    Reference:
        Papernot et al., "Practical black-box attacks against machine learning", 2017.
    """
    rng = np.random.default_rng(seed)
    x, answers = _questions(task, rng)
    network = _network(x.shape[1:], task.target.nb_classes, seed)
    network.compile(
        keras.optimizers.Adam(2e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    for _ in range(_STEPS):
        rows = rng.integers(0, len(x), _BATCH)
        network.train_on_batch(x[rows], answers[rows])
    return art.classifier(network, clip_values=(0.0, 1.0), outputs="logits")


def agreement(twin, task, rows):
    """Share of points on which the imitation predicts what the model does."""
    predicted = np.argmax(twin.predict(task.range.to_unit(task.x[rows])), axis=1)
    return float(np.mean(predicted == task.predictions[rows]))


def _questions(task, rng):
    rows = rng.integers(0, len(task.x), max(0, 1500 - len(task.x)))
    clean = task.range.to_unit(task.x)
    spread = 0.1 * rng.random((len(rows), *[1] * (clean.ndim - 1)))
    noisy = clean[rows] + spread * rng.normal(size=clean[rows].shape)
    x = np.concatenate([clean, np.clip(noisy, 0.0, 1.0)]).astype("float32")
    answers = task.classes(task.range.from_unit(x))
    # Where the model says nothing, there is nothing to imitate.
    return x[answers >= 0], answers[answers >= 0]


def _network(shape, classes, seed):
    seeds = iter(range(seed, seed + 8))

    def kernel():
        return keras.initializers.HeUniform(seed=next(seeds))

    layers = [keras.Input(shape)]
    if len(shape) == 3:
        layers += [
            keras.layers.Conv2D(
                width, 3, strides=2, padding="same", activation="relu", kernel_initializer=kernel()
            )
            for width in (16, 32)
        ]
    layers += [
        keras.layers.Flatten(),
        keras.layers.Dense(_HIDDEN, activation="relu", kernel_initializer=kernel()),
        keras.layers.Dense(classes, kernel_initializer=kernel()),
    ]
    return keras.Sequential(layers, name="surrogate")
