"""Losses that estimate a Wasserstein-1 distance by Kantorovich-Rubinstein duality."""

import keras
from keras import ops

from lipot import checks
from lipot.losses.labels import read_binary, read_one_hot
from lipot.losses.weighted_loss import REDUCTION, WeightedLoss
from lipot.math import kantorovich


class KantorovichLoss(WeightedLoss):
    """The Kantorovich-Rubinstein estimate as a loss, with the `multi_gpu` argument of deel-lip.

    Args:
        multi_gpu: Boolean. Not needed: class frequencies are always those of the whole batch.
            With `True`, labels weighted by class frequency, as deel-lip wants them on several
            GPUs, are accepted too; only their sign is read.
        reduction: As in `WeightedLoss`.
        name: Name of the loss.
        dtype: Dtype of the computation.
    """

    def __init__(self, multi_gpu=False, reduction=REDUCTION, name=None, dtype=None):
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        self.multi_gpu = checks.boolean("multi_gpu", multi_gpu)

    def sample_losses(self, labels, scores, weights):
        return kantorovich.kr(labels, scores, weights)

    def _weighted_losses(self, y_true, y_pred, sample_weight, mask=None):
        if self.multi_gpu:
            y_true = ops.convert_to_tensor(y_true, dtype=self.wide_dtype) > 0.0
        return super()._weighted_losses(y_true, y_pred, sample_weight, mask)

    def get_config(self):
        return {"multi_gpu": self.multi_gpu, **super().get_config()}


@keras.saving.register_keras_serializable(package="lipot")
class KR(KantorovichLoss):
    r"""Estimates the Wasserstein-1 distance between two classes.

    $$
    KR(f) = \mathbb{E}_{x \sim P_+} f(x) - \mathbb{E}_{x \sim P_-} f(x)
    $$

    Its maximum over 1-Lipschitz `f` is the distance. As in deel-lip the value is `KR(f)` itself,
    to be *maximized*: train with `HKR(alpha=0)`, which is `-KR(f)`, and watch this one. With
    several outputs it is the mean over the outputs for which the batch holds both classes.

    As a metric of `compile` Keras averages it over batches, and one of a single class counts as 0:
    give `evaluate` large batches of mixed classes, or call the loss on all scores at once.

    Args:
        multi_gpu: Boolean, accepted for configurations written for deel-lip; not needed.
        reduction: As in Keras; the default divides by the sum of the sample weights.
        name: Name of the loss.
        dtype: Dtype of the computation.

    Input shape:
        `y_true`: `(batch, outputs)` in {0, 1} or {-1, 1}; `(batch,)` too for one output.
        `y_pred`: `(batch, outputs)`.

    Output shape:
        A scalar, or `(batch,)` with `reduction="none"`.

    Reference:
        Serrurier et al., "Achieving robustness in classification using optimal transport with
        hinge regularization", equation 1b.

    Example:

    >>> import numpy as np
    >>> loss = KR()
    >>> float(loss(np.array([1, 0, 0]), np.array([[4.0], [1.0], [2.0]])))   # 4 - (1 + 2) / 2
    2.5
    """

    read = staticmethod(read_binary)

    def __init__(self, multi_gpu=False, reduction=REDUCTION, name="KR", dtype=None):
        super().__init__(multi_gpu=multi_gpu, reduction=reduction, name=name, dtype=dtype)


@keras.saving.register_keras_serializable(package="lipot")
class MulticlassKR(KantorovichLoss):
    r"""Estimates the mean Wasserstein-1 distance between each class and all others.

    $$
    KR(f) = \frac{1}{q} \sum_k \mathbb{E}_{x \sim P_k} f_k(x) - \mathbb{E}_{x \sim \neg P_k} f_k(x)
    $$

    The mean runs over the classes present in the batch. As `KR`, it is to be maximized, and as a
    metric it is the mean over batches.

    Args:
        multi_gpu: Boolean, accepted for configurations written for deel-lip; not needed.
        reduction: As in Keras; the default divides by the sum of the sample weights.
        name: Name of the loss.
        dtype: Dtype of the computation.

    Input shape:
        `y_true`: one-hot `(batch, classes)`. `y_pred`: `(batch, classes)`.

    Output shape:
        A scalar, or `(batch,)` with `reduction="none"`.

    Reference:
        Serrurier et al., equation 12.

    Example:

    >>> import numpy as np
    >>> loss = MulticlassKR()
    >>> float(loss(np.eye(3), 3.0 * np.eye(3)))
    3.0
    """

    read = staticmethod(read_one_hot)

    def __init__(self, multi_gpu=False, reduction=REDUCTION, name="MulticlassKR", dtype=None):
        super().__init__(multi_gpu=multi_gpu, reduction=reduction, name=name, dtype=dtype)
