"""Adversarial training with transport losses, against l-infinity attacks."""

import keras

from lipot import attacks, losses
from lipot.models import AdversarialModel
from lipot.recipes.networks import attack_range, check_classes, default_eps, plain_classifier


def train_got_trades_lm(
    data,
    *,
    epochs,
    batch_size=64,
    eps=None,
    steps=5,
    network=None,
    callbacks=(),
    verbose=0,
):
    """Trains a stock network with GOT-TRADES-LM: TRADES and transport within each label.

    Args:
        data: A `lipot.datasets.Dataset` with classes.
        epochs: Passes over the training points.
        batch_size: Points in one step.
        eps: l-infinity radius of the attack; a tenth of the range of the data by default.
        steps: Steps of the attack.
        network: A classifier to train, of logits; `plain_classifier` where it is `None`.
        callbacks: Keras callbacks.
        verbose: As in `keras.Model.fit`.

    Returns:
        The trained classifier, of stock layers by default; its outputs are logits.

    Raises:
        ValueError: `data` is a regression.

    Reference:
        GOT, equations 6 and 9, with the weight of its appendix A.3.
    """
    check_classes(data)
    eps = default_eps(data) if eps is None else eps
    attack = attacks.TRADESPGD(eps, steps=steps, **attack_range(data))
    terms = [losses.TRADES(alpha=6.0), losses.GOT(weight=10.0, label_matching=True)]
    return _trained(data, network, attack, terms, epochs, batch_size, callbacks, verbose)


def train_otjr(
    data,
    *,
    epochs,
    batch_size=64,
    eps=None,
    steps=5,
    network=None,
    callbacks=(),
    verbose=0,
):
    """Trains a stock network with OTJR: sliced transport and the optimal Jacobian regularizer.

    Args:
        data: A `lipot.datasets.Dataset` with classes.
        epochs: Passes over the training points.
        batch_size: Points in one step.
        eps: l-infinity radius of the attack; a tenth of the range of the data by default.
        steps: Steps of the attack.
        network: A classifier to train, of logits; `plain_classifier` where it is `None`.
        callbacks: Keras callbacks.
        verbose: As in `keras.Model.fit`.

    Returns:
        The trained classifier, of stock layers by default; its outputs are logits.

    Raises:
        ValueError: `data` is a regression.

    Reference:
        OTJR, equation 13, with the weights of its section 4.
    """
    check_classes(data)
    eps = default_eps(data) if eps is None else eps
    attack = attacks.PGD(eps, steps=steps, **attack_range(data))
    terms = [
        losses.AdversarialCrossentropy(),
        losses.SlicedWasserstein(weight=64.0, projections=32),
        losses.OptimalJacobian(weight=0.002),
    ]
    return _trained(data, network, attack, terms, epochs, batch_size, callbacks, verbose)


def _trained(data, network, attack, terms, epochs, batch_size, callbacks, verbose):
    classifier = network or plain_classifier(data.x_train.shape[1:], len(data.classes))
    robust = AdversarialModel(classifier, attack, terms)
    updates = epochs * -(-len(data.x_train) // batch_size)
    robust.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, updates)))
    robust.fit(
        data.x_train,
        data.y_train,
        batch_size=batch_size,
        epochs=epochs,
        callbacks=list(callbacks),
        verbose=verbose,
    )
    return classifier
