"""Training of a network and its inference by convex integration."""

import keras
import numpy as np

from lipot.batches import spread
from lipot.models import OTAD, transport_resnet
from lipot.recipes.arguments import checked
from lipot.recipes.fitting import Fitting

# Of MNIST's images blocks are as wide as the paper has them. Of colour images they would be of 19
# million weights each, which takes hours on a CPU.
_WIDEST = 1024
# Points that the norm of inputs is measured on.
_MEASURED = 1000


@checked
def train_otad(
    data,
    *,
    epochs,
    batch_size=64,
    neighbors=10,
    smoothness=2.0,
    learning_rate=None,
    callbacks=(),
    verbose=0,
):
    """Trains a residual network that keeps its dimension, then lets OTAD answer in its place.

    Args:
        data: A `lipot.datasets.Dataset` with classes.
        epochs: Positive int, passes over the training points.
        batch_size: Positive int, points in one step.
        neighbors: Positive int, training points that answer a query.
        smoothness: Positive float, L of the interpolating function.
        learning_rate: Positive float, that of SGD with momentum 0.9, the paper's, at the start; it
            falls as half a cosine. The paper names no rate. 0.05 by default, and less for inputs
            whose mean squared norm is above 100: on CIFAR-10, where it is 880, 0.05 diverges.
        callbacks: Keras callbacks.
        verbose: As in `keras.Model.fit`.

    Returns:
        A `lipot.OTAD` that holds the training points.

    Raises:
        ValueError: `data` is a regression.

    Reference:
        Gai, Wang and Zhang, "OTAD", algorithms 1 and 2, section V.A.
    """
    shape = data.x_train.shape[1:]
    dimension = int(np.prod(shape))
    backbone = transport_resnet(dimension, width=min(dimension, _WIDEST))
    head = keras.layers.Dense(len(data.classes))
    embedding = keras.layers.Flatten() if len(shape) > 1 else None
    # Made first: it says what is wrong with its arguments before anything is trained.
    model = OTAD(backbone, head, neighbors, smoothness, embedding=embedding)
    parts = [keras.Input(shape), *([embedding] if embedding else []), backbone, head]
    network = keras.Sequential(parts)
    fitting = Fitting(data, epochs, batch_size, callbacks, verbose)
    rate = _rate(data.x_train) if learning_rate is None else learning_rate
    network.compile(
        keras.optimizers.SGD(fitting.cosine(rate), momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    fitting.fit(network, data.y_train)
    return model.adapt(data.x_train)


def _rate(points):
    """A rate for inputs of any size: the loss curves in a first layer as their squared norm."""
    some = points[spread(len(points), _MEASURED)].astype("float64")
    return 0.05 / max(1.0, float(np.sum(np.square(some))) / len(some) / 100.0)
