"""Share of the samples proven to stay correctly classified within a radius."""

import keras
from keras import ops

from lipot import checks
from lipot.losses.labels import read_binary, read_one_hot
from lipot.math import margins
from lipot.metrics.provable import ProvableMetric, margin_lipschitz


@keras.saving.register_keras_serializable(package="lipot")
class CategoricalProvableRobustAccuracy(ProvableMetric):
    r"""Share of the samples that no l2 perturbation of length `epsilon` can misclassify.

    A sample counts when its signed radius exceeds `epsilon`:

    $$
    \frac{f_y(x) - \max_{k \neq y} f_k(x)}{c L} > \epsilon, \qquad
    c = 2 \text{ for disjoint neurons, else } \sqrt{2}
    $$

    It holds in exact arithmetic, if `lip_const` is a proven bound: see `lipot.lipschitz_constant`.
    `lipot.certify` counts rounding too, which decides where scores are large beside their margin,
    and finds larger radii from the weights of the last layer.

    Args:
        epsilon: Non-negative float, the radius.
        lip_const: Positive float, the Lipschitz constant of the network.
        disjoint_neurons: Boolean, whether `lip_const` bounds each logit by itself, as with a
            last layer `FrobeniusDense(disjoint_neurons=True)`, rather than the logits as a vector.
        name: Name of the metric.
        dtype: Dtype of the result.

    Input shape:
        `y_true`: one-hot `(batch, classes)`. `y_pred`: logits `(batch, classes)`.

    Output shape:
        A scalar between 0 and 1.

    Reference:
        Serrurier et al., "Achieving robustness in classification using optimal transport with
        hinge regularization", section 4.2.

    Example:

    >>> import numpy as np
    >>> metric = CategoricalProvableRobustAccuracy(epsilon=0.5)
    >>> float(metric(np.eye(2), np.array([[2.0, 0.5], [0.0, 0.5]])))   # radii 0.75 and 0.25
    0.5
    """

    read = staticmethod(read_one_hot)

    def __init__(
        self,
        epsilon=36 / 255,
        lip_const=1.0,
        disjoint_neurons=True,
        name="CategoricalProvableRobustAccuracy",
        dtype=None,
    ):
        super().__init__(lip_const=lip_const, name=name, dtype=dtype)
        self.epsilon = checks.nonnegative_float("epsilon", epsilon)
        self.disjoint_neurons = checks.boolean("disjoint_neurons", disjoint_neurons)

    def sample_values(self, labels, scores):
        threshold = self.epsilon * margin_lipschitz(self.lip_const, self.disjoint_neurons)
        return ops.cast(margins.top_margin(labels, scores) > threshold, scores.dtype)

    def get_config(self):
        config = {
            "epsilon": self.epsilon,
            "disjoint_neurons": self.disjoint_neurons,
        }
        return {**config, **super().get_config()}


@keras.saving.register_keras_serializable(package="lipot")
class BinaryProvableRobustAccuracy(ProvableMetric):
    r"""Share of the samples whose sign no l2 perturbation of length `epsilon` can turn wrong.

    $$
    \frac{y f(x)}{L} > \epsilon, \qquad y \in \{-1, 1\}
    $$

    It holds in exact arithmetic, if `lip_const` is a proven bound: see `lipot.lipschitz_constant`.
    `lipot.certify` counts rounding too, which decides where scores are large.

    Args:
        epsilon: Non-negative float, the radius.
        lip_const: Positive float, the Lipschitz constant of the network.
        name: Name of the metric.
        dtype: Dtype of the result.

    Input shape:
        `y_true`: `(batch, outputs)` in {0, 1} or {-1, 1}; `(batch,)` too for one output.
        `y_pred`: `(batch, outputs)`.

    Output shape:
        A scalar between 0 and 1; the mean over the outputs if there are several.

    Reference:
        Serrurier et al., equation 9.

    Example:

    >>> import numpy as np
    >>> metric = BinaryProvableRobustAccuracy(epsilon=0.5)
    >>> float(metric(np.array([1, 0]), np.array([[0.75], [-0.25]])))
    0.5
    """

    read = staticmethod(read_binary)

    def __init__(
        self,
        epsilon=36 / 255,
        lip_const=1.0,
        name="BinaryProvableRobustAccuracy",
        dtype=None,
    ):
        super().__init__(lip_const=lip_const, name=name, dtype=dtype)
        self.epsilon = checks.nonnegative_float("epsilon", epsilon)

    def sample_values(self, labels, scores):
        proven = margins.signed_margin(labels, scores) > self.epsilon * self.lip_const
        return ops.mean(ops.cast(proven, scores.dtype), axis=-1)

    def get_config(self):
        return {"epsilon": self.epsilon, **super().get_config()}
