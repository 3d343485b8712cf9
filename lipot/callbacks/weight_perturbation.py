"""Adversarial weight perturbation while an `AdversarialModel` trains."""

import keras

from lipot import checks
from lipot.callbacks.configurable import Configurable
from lipot.models import AdversarialModel


@keras.saving.register_keras_serializable(package="lipot")
class AdversarialWeightPerturbation(Configurable):
    r"""Trains at the worst weights near the ones the model is at: AWP.

    In each step the inputs are attacked first, then the weights: every kernel $w_l$ of the
    classifier is moved by

    $$ v_l = \gamma \, \|w_l\| \, \frac{\nabla_{w_l} L(w)}{\|\nabla_{w_l} L(w)\|} , \qquad
       w \leftarrow (w + v) - \eta \nabla L(w + v) - v , $$

    so that flat minima are found, which hold for unseen points too. $L$ is the whole objective,
    whatever its terms. Biases and scales stay, batch statistics are those at $w + v$. A step takes
    one more pass forwards and backwards than without, beside the attack.

    Args:
        gamma: Positive float. The authors use 0.01 for adversarial training and 0.005 for TRADES.
        start: Number of the first epoch that perturbs, from 0; the authors train TRADES for 10
            epochs before. The step is compiled anew there.

    Reference:
        Wu, Xia and Wang, "Adversarial weight perturbation helps robust generalization"
        (NeurIPS 2020), equations 7 to 11.

    Example:

    >>> import keras, lipot
    >>> import numpy as np
    >>> classifier = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> robust = lipot.AdversarialModel(
    ...     classifier, lipot.attacks.FGSM(0.1), [lipot.losses.TRADES()])
    >>> robust.compile("sgd")
    >>> awp = lipot.callbacks.AdversarialWeightPerturbation(gamma=0.005)
    >>> history = robust.fit(np.ones((8, 4)), np.array([0, 1] * 4), callbacks=[awp], verbose=0)
    >>> sorted(history.history)
    ['loss', 'robust_accuracy', 'trades']
    """

    def __init__(self, gamma=0.01, start=0):
        super().__init__()
        self.gamma = checks.positive_float("gamma", gamma)
        self.start = checks.nonnegative_int("start", start)

    def on_train_begin(self, logs=None):
        if not isinstance(self.model, AdversarialModel):
            raise checks.refused(
                "model",
                "a lipot.AdversarialModel, which evaluates its loss at weights that it is told "
                "(attack=None trains on clean inputs)",
                f"a {type(self.model).__name__}",
            )

    def on_epoch_begin(self, epoch, logs=None):
        self.model.perturb_weights(self.gamma if epoch >= self.start else None)

    def on_train_end(self, logs=None):
        self.model.perturb_weights(None)

    def get_config(self):
        return {"gamma": self.gamma, "start": self.start}
