"""Training of a network and its inference by convex integration."""

import keras
import numpy as np

from lipot.models import OTAD, transport_resnet
from lipot.recipes.arguments import checked
from lipot.recipes.fitting import Fitting

# Of MNIST's images blocks are as wide as the paper has them. Of colour images they would be of 19
# million weights each, which takes hours on a CPU.
_WIDEST = 1024


@checked
def train_otad(
    data,
    *,
    epochs,
    batch_size=64,
    neighbors=10,
    smoothness=2.0,
    learning_rate=0.05,
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
            falls as half a cosine. The paper names no rate.
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
    network.compile(
        keras.optimizers.SGD(fitting.cosine(learning_rate), momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    fitting.fit(network, data.y_train)
    return model.adapt(data.x_train)
