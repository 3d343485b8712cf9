"""Training of a network of l-infinity distances."""

import keras

from lipot import callbacks as schedules
from lipot import layers, losses
from lipot.models import builders
from lipot.recipes.arguments import checked
from lipot.recipes.defaults import default_eps
from lipot.recipes.fitting import Fitting


@builders.checked
def linf_distance_network(input_shape, units, width=256, depth=3):
    """Builds a network whose logits are 1-Lipschitz each from l-infinity.

    Args:
        input_shape: Shape of one input.
        units: Positive int, number of classes.
        width: Positive int, units of each hidden layer.
        depth: Positive int, number of layers of distances.

    Returns:
        An uncompiled `keras.Sequential`; the logits are negative distances.

    Reference:
        Zhang et al., "Towards certifying l-infinity robustness using neural networks with
        l-inf-dist neurons" (ICML 2021), section 5.

    Example:

    >>> import lipot
    >>> network = linf_distance_network((8, 8, 1), 10)
    >>> round(lipot.lipschitz_constant(network, norm="inf"), 6)
    1.0
    """
    hidden = [keras.layers.Flatten()]
    for _ in range(depth - 1):
        hidden.append(layers.LInfDistanceDense(width, use_bias=False, p=8))
        # Distances are positive: only what differs from their mean is of use.
        hidden.append(layers.BatchCentering(center=False, momentum=0.9))
    head = [layers.LInfDistanceDense(units, p=8), keras.layers.Rescaling(-1.0)]
    return keras.Sequential([keras.Input(input_shape), *hidden, *head], name="linf_dist")


@checked
def train_linf_dist(
    data,
    *,
    epochs,
    batch_size=64,
    eps=None,
    width=256,
    depth=3,
    learning_rate=0.02,
    callbacks=(),
    verbose=0,
):
    """Trains a network of l-infinity distances, with exponents that rise to infinity.

    Args:
        data: A `lipot.datasets.Dataset` with classes.
        epochs: Positive int, passes over the training points.
        batch_size: Positive int, points in one step.
        eps: Positive float, l-infinity radius to prove; that of `default_eps` where it is `None`.
        width: Positive int, units of each hidden layer.
        depth: Positive int, number of layers of distances.
        learning_rate: Positive float, that of Adam at the start; it falls to a thousandth as half a
            cosine.
        callbacks: Keras callbacks.
        verbose: As in `keras.Model.fit`.

    Returns:
        The trained, compiled model, for `lipot.certify(model, x, y, norm="inf")`.

    Raises:
        ValueError: `data` is a regression.

    Reference:
        Zhang et al., "Boosting the certified robustness of l-infinity distance nets" (ICLR 2022).
    """
    eps = default_eps(data) if eps is None else eps
    model = linf_distance_network(data.x_train.shape[1:], len(data.classes), width, depth)
    fitting = Fitting(data, epochs, batch_size, callbacks, verbose)
    compile_linf_dist(model, eps, fitting.cosine(learning_rate, last=1e-3))
    faded = max(1, 7 * fitting.steps // 8)
    fading = schedules.LossParamScheduler("weight", fp=[1.0, 0.0], xp=[0, faded])
    exponent = schedules.DistanceNormScheduler(fitting.steps)
    fitting.fit(model, data.y_train_onehot, exponent, fading)
    return model


def compile_linf_dist(model, eps, learning_rate):
    """Compiles such a network with the loss and the optimizer of its authors.

    Args:
        model: What `linf_distance_network` made.
        eps: Positive float, l-infinity radius to prove.
        learning_rate: Float or schedule.
    """
    # A margin of 2 eps proves eps; a gradient of a high p-norm may be as small as 1e-10.
    model.compile(
        keras.optimizers.Adam(learning_rate, beta_2=0.99, epsilon=1e-10),
        losses.ClippedHingeCrossentropy(min_margin=6.0 * eps, scale=1.0 / eps),
        metrics=["accuracy"],
    )
