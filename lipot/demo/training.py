"""The networks of the demo and how they are trained."""

import keras

from lipot import layers, losses


class Ticker(keras.callbacks.Callback):
    """Moves a `lipot.progress.Bar` forward at the end of each epoch.

    Args:
        bar: The bar.
        name: What is being trained.
        epochs: Epochs of this training and of each of those after it.
    """

    def __init__(self, bar, name, epochs):
        super().__init__()
        self._bar = bar
        self._name = name
        self._epochs = epochs

    def on_train_begin(self, logs=None):
        self._bar.plan(self._name, self._epochs)

    def on_epoch_end(self, epoch, logs=None):
        self._bar.advance(1.0)


def train_stock_twin(data, *, epochs, callbacks):
    """Trains the network of `lipot.recipes.hkr_network` rebuilt from stock, unconstrained layers.

    Args:
        data: A `lipot.datasets.Dataset` of images.
        epochs: Passes over the training points.
        callbacks: Keras callbacks.

    Returns:
        The trained model; its outputs are logits.
    """
    hidden = [
        keras.layers.Conv2D(16, 2, strides=2, activation="relu"),
        keras.layers.Conv2D(64, 2, strides=2, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(128, activation="relu"),
        keras.layers.Dense(64, activation="relu"),
    ]
    head = keras.layers.Dense(len(data.classes))
    model = keras.Sequential([keras.Input(data.x_train.shape[1:]), *hidden, head], name="stock")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    model.fit(
        data.x_train, data.y_train, batch_size=64, epochs=epochs, callbacks=callbacks, verbose=0
    )
    return model


def train_on_moons(data, *, epochs, callbacks):
    """Trains a binary hinge-KR network on points of the plane (hKR, Fig. 2).

    Args:
        data: The `two_moons` data set.
        epochs: Passes over the training points.
        callbacks: Keras callbacks.

    Returns:
        The trained model with one 1-Lipschitz output, positive on class 1.
    """
    hidden = []
    for width in (64, 64, 32):
        hidden += [layers.SpectralDense(width), layers.FullSort()]
    model = keras.Sequential([keras.Input((2,)), *hidden, layers.FrobeniusDense(1)], name="moons")
    rate = keras.optimizers.schedules.CosineDecay(1e-2, epochs * -(-len(data.x_train) // 256))
    model.compile(keras.optimizers.Adam(rate), losses.HKR(alpha=20.0, min_margin=0.4))
    labels = data.y_train[:, None].astype("float32")
    model.fit(data.x_train, labels, batch_size=256, epochs=epochs, callbacks=callbacks, verbose=0)
    return model
