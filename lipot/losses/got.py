"""Entropic transport between clean and adversarial features and predictions: GOT."""

import keras
from keras import ops

from lipot import checks
from lipot.losses.paired import PairedLoss
from lipot.math import divergences
from lipot.math.gradients import reversed_gradient
from lipot.math.transport import soft_c_transform

FEATURE_COSTS = {"cosine": divergences.cosine_cost, "l2": divergences.euclidean_cost}
LABEL_COSTS = {"kl": divergences.kl_cost, "l1": divergences.l1_cost}


@keras.saving.register_keras_serializable(package="lipot")
class GOT(PairedLoss):
    r"""Entropic transport of adversarial (feature, prediction) pairs onto the clean ones.

    $$\max_\phi \; -\theta \, \mathbb{E}_{u^a} \log \mathbb{E}_{u} \Bigl[
        \exp \frac{\phi(z) - \lambda d_x(z, z^a) - d_y(p, p^a)}{\theta} \Bigr]
        + \mathbb{E}_{z} \, \phi(z)$$

    The potential is linear in the clean features, `phi(z) = w . z`: the optimizer ascends `w`
    while it descends the rest. It takes the features as constants: at the best potential their
    derivative vanishes, and before that a network could lower the term without bound by
    inflating them. With `label_matching` only pairs of one label count (equation 6).

    Args:
        weight: Non-negative float, factor `beta` of the term in the objective.
        theta: Positive float, strength of the entropic term.
        lambda_: Positive float, factor of the feature cost.
        feature_cost: `"cosine"` or `"l2"`, the cost `d_x`.
        label_cost: `"kl"` or `"l1"`, the cost `d_y` between predicted probabilities.
        label_matching: Whether to transport within each label (GOT-LM) or freely (GOT-S).
        unit_features: Whether features are brought to length 1 first. The l2 cost of features as
            they are, the paper's, falls as they shrink: networks learn to have none.
        name: Name of the metric in the logs.
        **kwargs: Arguments of `keras.layers.Layer`.

    Reference:
        GOT, equations 5 and 6; hyper-parameters from its appendix A.3.

    Example:

    >>> import numpy as np
    >>> from lipot.losses import GOT, PairedBatch
    >>> x, x_adv = np.array([[3.0, 3.0]]), np.array([[0.0, 0.0]])
    >>> batch = PairedBatch(lambda inputs: (inputs, inputs), x, [0], x_adv)
    >>> loss = GOT(feature_cost="l2")
    >>> loss.build((None, 2))
    >>> # From a potential of zero: the cost sqrt(18) of the features, and of equal predictions.
    >>> [round(float(value), 3) for value in loss(batch)]
    [4.243]
    """

    needs_features = True

    def __init__(
        self,
        weight=10.0,
        theta=0.1,
        lambda_=1.0,
        feature_cost="cosine",
        label_cost="kl",
        label_matching=False,
        *,
        unit_features=False,
        name="got",
        **kwargs,
    ):
        super().__init__(weight, name=name, **kwargs)
        self.theta = checks.positive_float("theta", theta)
        self.lambda_ = checks.positive_float("lambda_", lambda_)
        self.feature_cost = checks.choice("feature_cost", feature_cost, FEATURE_COSTS)
        self.label_cost = checks.choice("label_cost", label_cost, LABEL_COSTS)
        self.label_matching = checks.boolean("label_matching", label_matching)
        self.unit_features = checks.boolean("unit_features", unit_features)

    def build(self, features_shape):
        size = 1
        for dimension in features_shape[1:]:
            size *= dimension
        # No bias: the semi-dual does not change when a constant is added to the potential.
        self.potential = self.add_weight(
            # From zero the term starts as a mean of costs, not below zero.
            shape=(size, 1),
            initializer="zeros",
            name="potential",
        )
        self.built = True

    def per_example(self, batch):
        whole = batch.whole
        features, features_adv = whole.features, whole.features_adv
        if features.shape[-1] not in (None, self.potential.shape[0]):
            raise ValueError(
                f"The potential of loss '{self.name}' was built for another model, of "
                f"{self.potential.shape[0]} features. Expected a GOT of its own for each model. "
                f"Received: {features.shape[-1]} features"
            )
        if self.unit_features:
            features, features_adv = divergences.unit(features), divergences.unit(features_adv)
        cost = self.lambda_ * FEATURE_COSTS[self.feature_cost](features, features_adv)
        cost = cost + LABEL_COSTS[self.label_cost](whole.logits, whole.logits_adv)
        # One optimizer ascends the potential and descends everything else.
        kernel = reversed_gradient(ops.cast(self.potential, features.dtype))
        potential = ops.matmul(ops.stop_gradient(features), kernel)[:, 0]
        mask = None
        if self.label_matching:
            classes = ops.argmax(whole.labels, axis=-1)
            mask = classes[:, None] == classes[None, :]
        transformed = soft_c_transform(cost, potential, theta=self.theta, mask=mask)
        return batch.own(transformed + potential)

    def get_config(self):
        return {
            **super().get_config(),
            "theta": self.theta,
            "lambda_": self.lambda_,
            "feature_cost": self.feature_cost,
            "label_cost": self.label_cost,
            "label_matching": self.label_matching,
            "unit_features": self.unit_features,
        }
