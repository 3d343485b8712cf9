"""Training of a 1-Lipschitz network with the hinge-KR loss."""

import keras

from lipot import layers, losses
from lipot.models import builders
from lipot.recipes.arguments import checked
from lipot.recipes.defaults import spread
from lipot.recipes.fitting import Fitting


@builders.checked
def hkr_network(input_shape, units):
    """Builds a 1-Lipschitz network for the hinge-KR loss: convolutions for images, else dense.

    Args:
        input_shape: Shape of one input, `(rows, columns, channels)` or `(features,)`. Rows and
            columns that 4 does not divide are padded with zeros.
        units: Positive int, number of classes.

    Returns:
        An uncompiled `keras.Sequential` whose `units` outputs are each 1-Lipschitz.

    Reference:
        Serrurier et al., "Achieving robustness in classification using optimal transport with
        hinge regularization", section 4.

    Example:

    >>> hkr_network((8, 8, 1), 10).output_shape
    (None, 10)
    """
    hidden, widths = [], (64, 64, 32)
    if len(input_shape) == 3:
        # Patches that do not overlap: such a convolution is exactly orthogonal.
        for filters in (16, 64):
            hidden += [layers.SpectralConv2D(filters, 2, strides=2), layers.GroupSort2()]
        hidden.append(keras.layers.Flatten())
        widths = (128, 64)
    for width in widths:
        hidden += [layers.SpectralDense(width), layers.GroupSort2()]
    head = layers.FrobeniusDense(units, disjoint_neurons=True)
    return keras.Sequential([keras.Input(input_shape), *hidden, head], name="hkr")


@checked
def train_hkr(
    data,
    *,
    epochs,
    batch_size=64,
    alpha=20.0,
    min_margin=None,
    network=None,
    learning_rate=1e-2,
    callbacks=(),
    verbose=0,
):
    """Trains a 1-Lipschitz network with the multi-class hinge-KR loss.

    Args:
        data: A `lipot.datasets.Dataset` with classes.
        epochs: Positive int, passes over the training points.
        batch_size: Positive int, points in one step.
        alpha: Non-negative float, weight of the hinge term: larger is more accurate, smaller is
            more robust.
        min_margin: Non-negative float, margin of the hinge term, in the l2 units of the inputs; 0.3
            times the spread of the training points where it is `None`.
        network: A 1-Lipschitz classifier to train, of logits; `hkr_network` where it is `None`.
        learning_rate: Positive float, that of Adam at the start; it falls to a hundredth as half a
            cosine.
        callbacks: Keras callbacks.
        verbose: As in `keras.Model.fit`.

    Returns:
        The trained, compiled model.

    Raises:
        ValueError: `data` is a regression.

    Example:

    >>> from lipot import datasets, recipes
    >>> network = keras.Sequential([keras.Input((2,)), layers.FrobeniusDense(2)])
    >>> model = recipes.train_hkr(datasets.load("two_moons"), epochs=1, network=network)
    >>> model is network, float(model.loss.alpha)
    (True, 20.0)
    """
    model = network or hkr_network(data.x_train.shape[1:], len(data.classes))
    fitting = Fitting(data, epochs, batch_size, callbacks, verbose)
    if min_margin is None:
        min_margin = 0.3 * spread(data.x_train)
    model.compile(
        keras.optimizers.Adam(fitting.cosine(learning_rate, last=0.01)),
        losses.MulticlassHKR(alpha=alpha, min_margin=min_margin),
        metrics=["accuracy"],
    )
    fitting.fit(model, data.y_train_onehot)
    return model
