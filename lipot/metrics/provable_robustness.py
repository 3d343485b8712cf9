"""Mean radius within which predictions are proven to stay correct."""

import keras
from keras import ops

from lipot import checks
from lipot.losses.labels import read_binary, read_one_hot
from lipot.math import margins
from lipot.metrics.provable import ProvableMetric, margin_lipschitz


@keras.saving.register_keras_serializable(package="lipot")
class CategoricalProvableAvgRobustness(ProvableMetric):
    r"""Mean l2 radius proven by the margin between the true logit and the best other one.

    $$
    \mathbb{E}\, \phi\left(\frac{f_y(x) - \max_{k \neq y} f_k(x)}{c L}\right), \qquad
    c = 2 \text{ for disjoint neurons, else } \sqrt{2}
    $$

    with $\phi(r) = \max(0, r)$, so that a misclassified sample has radius 0, or $\phi(r) = r$
    with `negative_robustness`. In exact arithmetic: `lipot.certify` counts rounding too.

    Args:
        lip_const: Positive float, the Lipschitz constant of the network.
        disjoint_neurons: Boolean, whether `lip_const` bounds each logit by itself, as with a
            last layer `FrobeniusDense(disjoint_neurons=True)`, rather than the logits as a vector.
        negative_robustness: Boolean, whether misclassified samples count with a negative radius.
        name: Name of the metric.
        dtype: Dtype of the result.

    Input shape:
        `y_true`: one-hot `(batch, classes)`. `y_pred`: logits `(batch, classes)`.

    Output shape:
        A scalar.

    Reference:
        Serrurier et al., "Achieving robustness in classification using optimal transport with
        hinge regularization", section 4.2.

    Example:

    >>> import numpy as np
    >>> metric = CategoricalProvableAvgRobustness()
    >>> float(metric(np.eye(2), np.array([[2.0, 0.5], [0.5, 0.0]])))   # radii 0.75 and 0
    0.375
    """

    read = staticmethod(read_one_hot)

    def __init__(
        self,
        lip_const=1.0,
        disjoint_neurons=True,
        negative_robustness=False,
        name="CategoricalProvableAvgRobustness",
        dtype=None,
    ):
        super().__init__(lip_const=lip_const, name=name, dtype=dtype)
        self.disjoint_neurons = checks.boolean("disjoint_neurons", disjoint_neurons)
        self.negative_robustness = checks.boolean("negative_robustness", negative_robustness)

    def sample_values(self, labels, scores):
        margin = margins.top_margin(labels, scores)
        radius = margin / margin_lipschitz(self.lip_const, self.disjoint_neurons)
        return radius if self.negative_robustness else ops.relu(radius)

    def get_config(self):
        config = {
            "disjoint_neurons": self.disjoint_neurons,
            "negative_robustness": self.negative_robustness,
        }
        return {**config, **super().get_config()}


@keras.saving.register_keras_serializable(package="lipot")
class BinaryProvableAvgRobustness(ProvableMetric):
    r"""Mean l2 radius proven by the distance of a binary score from 0.

    $$
    \mathbb{E}\, \phi\left(\frac{y f(x)}{L}\right), \qquad y \in \{-1, 1\}
    $$

    with $\phi(r) = \max(0, r)$, so that a misclassified sample has radius 0, or $\phi(r) = r$
    with `negative_robustness`. In exact arithmetic: `lipot.certify` counts rounding too.

    Args:
        lip_const: Positive float, the Lipschitz constant of the network.
        negative_robustness: Boolean, whether misclassified samples count with a negative radius.
        name: Name of the metric.
        dtype: Dtype of the result.

    Input shape:
        `y_true`: `(batch, outputs)` in {0, 1} or {-1, 1}; `(batch,)` too for one output.
        `y_pred`: `(batch, outputs)`.

    Output shape:
        A scalar; the mean over the outputs if there are several.

    Reference:
        Serrurier et al., equation 9.

    Example:

    >>> import numpy as np
    >>> metric = BinaryProvableAvgRobustness(negative_robustness=True)
    >>> float(metric(np.array([1, 0]), np.array([[0.75], [0.25]])))
    0.25
    """

    read = staticmethod(read_binary)

    def __init__(
        self,
        lip_const=1.0,
        negative_robustness=False,
        name="BinaryProvableAvgRobustness",
        dtype=None,
    ):
        super().__init__(lip_const=lip_const, name=name, dtype=dtype)
        self.negative_robustness = checks.boolean("negative_robustness", negative_robustness)

    def sample_values(self, labels, scores):
        radius = margins.signed_margin(labels, scores) / self.lip_const
        return ops.mean(radius if self.negative_robustness else ops.relu(radius), axis=-1)

    def get_config(self):
        config = {
            "negative_robustness": self.negative_robustness,
        }
        return {**config, **super().get_config()}
