"""Adversarial training, plain and with transport losses, against l-infinity attacks.

The radius grows in the first epochs, from a third of what is asked for.
"""

import keras

from lipot import attacks, losses
from lipot.callbacks import RadiusSchedule, WeightSchedule
from lipot.models import AdversarialModel
from lipot.recipes.arguments import checked
from lipot.recipes.defaults import attack_range, default_eps
from lipot.recipes.fitting import Fitting
from lipot.recipes.networks import plain_classifier

# Share of the epochs in which the radius grows from a third of itself: a network that meets a large
# one at once may stay at chance.
_GROWS = 0.15


@checked
def train_fgsm_at(
    data,
    *,
    epochs,
    batch_size=64,
    eps=None,
    network=None,
    learning_rate=1e-3,
    callbacks=(),
    verbose=0,
):
    """Trains a stock network on one long step from a random start: fast adversarial training.

    Args:
        data: A `lipot.datasets.Dataset` with classes.
        epochs: Positive int, passes over the training points.
        batch_size: Positive int, points in one step.
        eps: Positive float, l-infinity radius of the attack; that of `default_eps` where it is
            `None`.
        network: A classifier to train, of logits; `plain_classifier` where it is `None`.
        learning_rate: Positive float, that of Adam at the start; it falls as half a cosine.
        callbacks: Keras callbacks.
        verbose: As in `keras.Model.fit`.

    Returns:
        The trained classifier, of stock layers by default; its outputs are logits.

    Raises:
        ValueError: `data` is a regression.

    Reference:
        Wong, Rice and Kolter, "Fast is better than free" (ICLR 2020), with its step of 1.25 radii;
        a baseline of OTAD.
    """
    eps = default_eps(data) if eps is None else eps
    attack = attacks.FGSM(eps, random_start=True, step_size=1.25 * eps, **attack_range(data))
    terms = [losses.AdversarialCrossentropy()]
    fitting = Fitting(data, epochs, batch_size, callbacks, verbose)
    return _trained(fitting, network, attack, terms, learning_rate)


@checked
def train_pgd_at(
    data,
    *,
    epochs,
    batch_size=64,
    eps=None,
    steps=10,
    network=None,
    learning_rate=1e-3,
    callbacks=(),
    verbose=0,
):
    """Trains a stock network on projected gradient: plain adversarial training.

    Args:
        data: A `lipot.datasets.Dataset` with classes.
        epochs: Positive int, passes over the training points.
        batch_size: Positive int, points in one step.
        eps: Positive float, l-infinity radius of the attack; that of `default_eps` where it is
            `None`.
        steps: Positive int, steps of the attack.
        network: A classifier to train, of logits; `plain_classifier` where it is `None`.
        learning_rate: Positive float, that of Adam at the start; it falls as half a cosine.
        callbacks: Keras callbacks.
        verbose: As in `keras.Model.fit`.

    Returns:
        The trained classifier, of stock layers by default; its outputs are logits.

    Raises:
        ValueError: `data` is a regression.

    Reference:
        Madry et al., "Towards deep learning models resistant to adversarial attacks" (ICLR 2018);
        the baseline of GOT and OTJR.
    """
    eps = default_eps(data) if eps is None else eps
    attack = attacks.PGD(eps, steps=steps, **attack_range(data))
    terms = [losses.AdversarialCrossentropy()]
    fitting = Fitting(data, epochs, batch_size, callbacks, verbose)
    return _trained(fitting, network, attack, terms, learning_rate)


@checked
def train_got_trades_lm(
    data,
    *,
    epochs,
    batch_size=64,
    eps=None,
    steps=5,
    network=None,
    learning_rate=1e-3,
    callbacks=(),
    verbose=0,
):
    """Trains a stock network with GOT-TRADES-LM: TRADES and transport within each label.

    Args:
        data: A `lipot.datasets.Dataset` with classes.
        epochs: Positive int, passes over the training points.
        batch_size: Positive int, points in one step.
        eps: Positive float, l-infinity radius of the attack; that of `default_eps` where it is
            `None`.
        steps: Positive int, steps of the attack.
        network: A classifier to train, of logits; `plain_classifier` where it is `None`.
        learning_rate: Positive float, that of Adam at the start; it falls as half a cosine.
        callbacks: Keras callbacks.
        verbose: As in `keras.Model.fit`.

    Returns:
        The trained classifier, of stock layers by default; its outputs are logits.

    Raises:
        ValueError: `data` is a regression.

    Reference:
        GOT, equations 6 and 9, with the weight of its appendix A.3. The paper trains for 100
        epochs, on MNIST with Adam at 1e-3, label matching from there on at 1e-6, and on images
        with SGD at 1e-4.
    """
    eps = default_eps(data) if eps is None else eps
    attack = attacks.TRADESPGD(eps, steps=steps, **attack_range(data))
    terms = [losses.TRADES(alpha=6.0), losses.GOT(weight=10.0, label_matching=True)]
    fitting = Fitting(data, epochs, batch_size, callbacks, verbose)
    return _trained(fitting, network, attack, terms, learning_rate)


@checked
def train_otjr(
    data,
    *,
    epochs,
    batch_size=64,
    eps=None,
    steps=5,
    network=None,
    learning_rate=1e-3,
    callbacks=(),
    verbose=0,
):
    """Trains a stock network with OTJR: sliced transport and the optimal Jacobian regularizer.

    Args:
        data: A `lipot.datasets.Dataset` with classes.
        epochs: Positive int, passes over the training points.
        batch_size: Positive int, points in one step.
        eps: Positive float, l-infinity radius of the attack; that of `default_eps` where it is
            `None`.
        steps: Positive int, steps of the attack.
        network: A classifier to train, of logits; `plain_classifier` where it is `None`.
        learning_rate: Positive float, that of Adam at the start; it falls as half a cosine.
        callbacks: Keras callbacks.
        verbose: As in `keras.Model.fit`.

    Returns:
        The trained classifier, of stock layers by default; its outputs are logits.

    Raises:
        ValueError: `data` is a regression.

    Reference:
        OTJR, equation 13, with the weights of its section 4. They belong to a radius of 8/255:
        where logits move as far as here, weight 64 from the start leaves a network that says
        nothing, so that it is reached after half of the epochs. The paper trains images for 100
        epochs with SGD at 0.1, a tenth of it after 75 and a hundredth after 90.
    """
    eps = default_eps(data) if eps is None else eps
    attack = attacks.PGD(eps, steps=steps, **attack_range(data))
    terms = [
        losses.AdversarialCrossentropy(),
        losses.SlicedWasserstein(weight=64.0, projections=32),
        losses.OptimalJacobian(weight=0.002),
    ]
    warm_up = WeightSchedule("sliced_wasserstein", [0.0, 64.0], [0.0, epochs / 2], unit="epochs")
    fitting = Fitting(data, epochs, batch_size, callbacks, verbose)
    return _trained(fitting, network, attack, terms, learning_rate, warm_up)


def _trained(fitting, network, attack, terms, learning_rate, *schedules):
    data = fitting.data
    classifier = network or plain_classifier(data.x_train.shape[1:], len(data.classes))
    robust = AdversarialModel(classifier, attack, terms)
    robust.compile(keras.optimizers.Adam(fitting.cosine(learning_rate)))
    grown = RadiusSchedule([1 / 3, 1.0], [0.0, _GROWS * fitting.epochs], unit="epochs")
    fitting.fit(robust, data.y_train, grown, *schedules)
    return classifier
