"""Adversarial logits that follow those of a teacher on the clean inputs."""

import keras
from keras import ops

from lipot import checks
from lipot.losses.logits import check_returns_logits
from lipot.losses.paired import PairedLoss
from lipot.math.divergences import crossentropy, kl_divergence


@keras.saving.register_keras_serializable(package="lipot")
class LBGAT(PairedLoss):
    r"""Learnable boundary guided adversarial training: a teacher says what clean logits should be.

    $$\frac{1}{C}\, \|f(x') - t(x)\|^2 + CE(t(x), y) + \beta \, D_{KL}(f(x) \,\|\, f(x'))$$

    for a teacher $t$ that sees clean inputs alone and is trained along: it learns from the labels,
    and both sides of the first term follow each other. A frozen teacher has no cross-entropy, that
    is BGAT. Meant for the attack `lipot.attacks.TRADESPGD`; beside another term that draws clean
    and attacked logits together, such as `SlicedWasserstein`, leave `beta` at 0.

    Args:
        teacher: Built Keras model from inputs to logits. Its weights belong to the loss: they are
            trained, saved and regularized with the `AdversarialModel`, which attacks the
            classifier alone.
        beta: Non-negative float, factor of the divergence; the authors publish 0 and 6.
        frozen: Whether the teacher stays as it is; it is then made untrainable.
        weight: Non-negative float, factor of the whole in the objective.
        name: Name of the metric in the logs.
        **kwargs: Arguments of `keras.layers.Layer`.

    Reference:
        Cui et al., "Learnable boundary guided adversarial training" (ICCV 2021), with the mean over
        the classes of the authors' code; OTJR, Table 3.

    Example:

    >>> import keras
    >>> from lipot.losses import LBGAT
    >>> teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> [len(LBGAT(teacher, frozen=f).trainable_variables) for f in (False, True)]
    [2, 0]
    """

    def __init__(self, teacher, *, beta=0.0, frozen=False, weight=1.0, name="lbgat", **kwargs):
        super().__init__(weight, name=name, **kwargs)
        self.teacher = checks.built_model("teacher", teacher)
        check_returns_logits("teacher", teacher)
        self.beta = checks.nonnegative_float("beta", beta)
        self.frozen = checks.boolean("frozen", frozen)
        if frozen:
            teacher.trainable = False

    def per_example(self, batch):
        trains = batch.training and not self.frozen
        guide = ops.cast(self.teacher(batch.x, training=trains), "float32")
        if guide.shape[-1] != batch.logits_adv.shape[-1]:
            raise checks.refused(
                "teacher",
                f"as many logits as the classifier's {batch.logits_adv.shape[-1]}",
                str(guide.shape[-1]),
            )
        value = ops.mean(ops.square(batch.logits_adv - guide), axis=-1)
        if not self.frozen:
            value = value + crossentropy(batch.labels, guide)
        if self.beta:
            value = value + self.beta * kl_divergence(batch.logits, batch.logits_adv)
        return value

    def get_config(self):
        return {
            **super().get_config(),
            "teacher": keras.saving.serialize_keras_object(self.teacher),
            "beta": self.beta,
            "frozen": self.frozen,
        }

    @classmethod
    def from_config(cls, config):
        teacher = keras.saving.deserialize_keras_object(config["teacher"])
        return cls(**{**config, "teacher": teacher})
