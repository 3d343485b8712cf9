"""OT-Classifier: classification from a low-dimensional code that follows a prior."""

import keras
from keras import ops

from lipot import checks
from lipot.attacks.base import Attack
from lipot.backend import compiles_derivatives
from lipot.backend.keras_graph import with_mask_of
from lipot.losses.labels import weights_in_a_row, without_masked
from lipot.losses.logits import check_returns_logits
from lipot.losses.weighted_loss import ReplicatedLoss
from lipot.math import replicas
from lipot.math.classes import classified
from lipot.math.divergences import crossentropy, one_hot_labels
from lipot.math.gradients import reversed_gradient
from lipot.math.scaling import wide_dtype
from lipot.models.alternating_steps import AlternatingSteps, kept_rows, share_of
from lipot.models.exported_uncalled import ExportsUncalled
from lipot.models.first_batch import ChecksFirstBatch, labels_of, one_array
from lipot.models.forgets_programs import ForgetsPrograms
from lipot.models.parts import with_parts
from lipot.models.prior import StandardNormal, checked_prior
from lipot.models.random_state import SavesRandomState
from lipot.models.weight_gradients import total
from lipot.optimizers.rate_factors import with_rates


@keras.saving.register_keras_serializable(package="lipot")
class OTClassifier(
    ForgetsPrograms,
    ChecksFirstBatch,
    SavesRandomState,
    AlternatingSteps,
    ExportsUncalled,
    keras.Model,
):
    r"""Encoder, classifier and discriminator trained against each other.

    $$\min_{Q, C} \; \mathbb{E} \, \ell(C(Q(x)), y)
        + \lambda \max_D \bigl(\mathbb{E} \log D(z) - \mathbb{E} \log D(Q(x))\bigr),
        \quad z \sim P_Z$$

    The maximum estimates $W_1(Q_\# P_X, P_Z)$. Each step of `fit` is one step of one optimizer:
    encoder and classifier descend the sum, the discriminator ascends it, so that
    $\lambda$ weighs against the cross-entropy whatever the optimizer. `compile` also takes an
    optimizer for each step, as in algorithm 1. Without a discriminator it is the paper's baseline
    E-CLA; with an attack, each step sees the batch clean and attacked (OT-CLA+Adv). Inference uses
    encoder and classifier, and so does calling the model.

    Samples that a Keras mask hides, that of `Masking` say, are in no term and no log. The rest is
    as in any Keras model: the loss is scaled in `mixed_float16`, regularizers count, a frozen
    network is left alone, `evaluate` estimates the divergence too, on clean inputs, and it trains
    on all backends. The logs show the objective as `loss`, the `divergence` before its weight, and
    the `accuracy` on clean inputs (on attacked ones where `clean_share` is 0).

    Args:
        encoder: Built Keras model from inputs to codes `(batch, code_size)`.
        classifier: Built Keras model from codes to logits.
        discriminator: Built Keras model from codes to `log D(z)`, one number; or `None`. Built
            of 1-Lipschitz layers, it makes the objective the Kantorovich-Rubinstein dual.
        prior: Object with `sample(count)` that returns `(count, code_size)`, such as a
            `tensorflow_probability` distribution. Defaults to `StandardNormal(code_size)`.
        weight: Non-negative float, factor `lambda` of the divergence from the prior.
        attack: A `lipot.attacks.Attack`, or `None`.
        attack_delay: Non-negative int, number of training steps before the attack begins. A network
            that meets strong attacks before it tells classes apart stays at chance.
        clean_share: Share of the cross-entropy that is that of the clean batch, under attack.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        That of `encoder`.

    Output shape:
        Logits, `(batch, classes)`.

    Lipschitz bound:
        None of its own: `lipot.certify` takes `inference_model()`, which has a graph.

    Reference:
        OT-Classifier (Li et al.), algorithm 1 and equation 2.

    Example:

    >>> import lipot, numpy as np
    >>> from lipot import models
    >>> model = models.OTClassifier(
    ...     models.embedding_encoder((8, 8, 1), code_size=2, filters=4),
    ...     models.embedding_classifier(code_size=2),
    ...     models.embedding_discriminator(code_size=2, layers=lipot))
    >>> model.compile("adam")
    >>> x, y = np.ones((4, 8, 8, 1), "float32"), np.array([0, 1, 2, 3])
    >>> sorted(model.fit(x, y, verbose=0).history)
    ['accuracy', 'divergence', 'loss']
    """

    def __init__(
        self,
        encoder,
        classifier,
        discriminator=None,
        prior=None,
        weight=0.01,
        attack=None,
        attack_delay=0,
        clean_share=0.5,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.supports_jit = compiles_derivatives()
        code_size = _check_networks(encoder, classifier, discriminator)
        self.encoder = encoder
        self.classifier = classifier
        self.discriminator = discriminator
        self.prior = checked_prior(StandardNormal(code_size) if prior is None else prior, code_size)
        # Named on the model too, so that Keras carries the prior's random state.
        self._prior_seed = getattr(self.prior, "seed_generator", None)
        self.weight = checks.nonnegative_float("weight", weight)
        self.attack = checks.instance("attack", attack, Attack | None, "a lipot attack or None")
        if attack is not None:
            checks.attackable("encoder", encoder)
        self.attack_delay = checks.nonnegative_int("attack_delay", attack_delay)
        self.clean_share = checks.nonnegative_float("clean_share", clean_share)
        if self.clean_share >= 1.0:
            raise checks.invalid("clean_share", "a share from 0 to below 1", clean_share)
        delayed = self.attack is not None and self.attack_delay > 0
        self._steps = _Steps(name="steps") if delayed else None
        self._accuracy = keras.metrics.Mean(name="accuracy", dtype=wide_dtype())
        if discriminator is not None:
            self._divergence = keras.metrics.Mean(name="divergence", dtype=wide_dtype())
        self._crossentropy = _Crossentropy(name="crossentropy", dtype="float32")
        self.build(encoder.input_shape)

    def build(self, input_shape):
        self.built = True

    @property
    def input_shape(self):
        return self.encoder.input_shape

    def call(self, inputs):
        return self._classify(one_array(inputs))

    def inference_model(self):
        """Returns encoder and classifier as one functional model that shares their weights."""
        inputs = keras.Input(self.encoder.input_shape[1:])
        return keras.Model(inputs, self.classifier(self.encoder(inputs)))

    def compile(
        self,
        optimizer="adam",
        loss=None,
        *,
        discriminator_optimizer=None,
        encoder_optimizer=None,
        discriminator_rate=1.0,
        **kwargs,
    ):
        """Configures training.

        Args:
            optimizer: Optimizer of all three networks. Of one loss, so that `weight` weighs. With
                momentum the two sides run in circles: of Adam take `beta_1=0.5` where the codes
                are to follow the prior closely.
            loss: None, the only value: the model has its losses, the cross-entropy and the
                divergence of the codes from the prior.
            discriminator_optimizer: Optimizer of the discriminator. With it or the next, each
                step of the paper's algorithm has an optimizer of its own; the step of an Adam is
                then as long whatever `weight` is. Callbacks such as `ReduceLROnPlateau` change
                the learning rate of `optimizer` alone; give the others a schedule.
            encoder_optimizer: Optimizer of the encoder against the discriminator. One that several
                steps are given is copied for each.
            discriminator_rate: Learning rate of the discriminator, as a factor of that of
                `optimizer`. Only where that is the only one.
            **kwargs: Arguments of `keras.Model.compile`. Where Keras scales the loss of
                `optimizer`, the losses of the other two are as well.
        """
        if loss is not None or kwargs.get("loss_weights") is not None:
            raise checks.refused(
                "loss",
                "None: an OTClassifier trains by its own losses, which `weight` weighs",
                f"loss={loss!r}, loss_weights={kwargs.get('loss_weights')!r}",
            )
        rate = checks.positive_float("discriminator_rate", discriminator_rate)
        _check_metrics(kwargs.get("metrics"), kwargs.get("weighted_metrics"))
        self._alternating = discriminator_optimizer is not None or encoder_optimizer is not None
        self._compiled_with = (optimizer, rate)
        if not self._alternating and rate != 1.0 and self.discriminator is not None:
            slow = {id(variable) for variable in self.discriminator.trainable_variables}
            rates = [rate if id(v) in slow else 1.0 for v in self.trainable_variables]
            optimizer = with_rates(optimizer, rates)
        super().compile(optimizer=optimizer, **kwargs)
        if self._alternating:
            self._compile_alternating(discriminator_optimizer, encoder_optimizer)
        elif self.trainable_variables:
            self.optimizer.build(self.trainable_variables)

    def train_step(self, *args):
        return self._alternate(*args) if self._alternating else super().train_step(*args)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        y = labels_of(y)
        inputs, halves = self._batch(x, y, training)
        codes = self.encoder(inputs, training=training)
        logits = ops.cast(self.classifier(codes, training=training), "float32")
        loss = self._crossentropy_of(logits, y, sample_weight, halves, y_pred)
        kept = kept_rows(y_pred, halves)
        min_max = 0.0 if self.discriminator is None else self._min_max(codes, training, kept)
        if self._alternating:
            return loss + share_of(total(self.encoder.losses + self.classifier.losses))
        if training:
            self._advance()
        loss = loss + min_max
        return loss + ops.cast(super().compute_loss(x), "float32") if self.losses else loss

    def _min_max(self, codes, training, kept):
        """`weight` times the gap, which the encoder descends and the discriminator ascends."""

        def score(z):
            return self.discriminator(z, training=training)

        # Reversed once for the discriminator, which ascends, and twice for the encoder.
        gap = self._gap(score, reversed_gradient(codes), kept)
        self._divergence.update_state(replicas.total(gap))
        return self.weight * replicas.even(reversed_gradient(gap))

    def _gap(self, score, codes, kept):
        """What the discriminator gives codes of the prior above those of the encoder that count.

        It is the share of this replica: the gap of the global batch is the sum of all.
        """
        ideal = replicas.draw(self.prior.sample, ops.shape(codes)[0])
        pair = (ops.cast(ideal, codes.dtype), codes)
        scores = [ops.cast(score(z), "float32") for z in pair]
        return replicas.mean(scores[0]) - replicas.mean(scores[1], kept)

    def _batch(self, x, y, training):
        """The inputs of a step, and the factors of the cross-entropy of their equal parts."""
        x = ops.cast(one_array(x), keras.config.floatx())
        if self.attack is None or not training:
            return x, (1.0,)
        x_adv = self._attacked(x, y)
        if self.clean_share == 0.0:
            return x_adv, (1.0,)
        # One pass over both, so that batch statistics are those of what the network meets.
        return ops.concatenate([x, x_adv]), (self.clean_share, 1.0 - self.clean_share)

    def _attacked(self, x, y):
        def attacked():
            return self.attack(self._classify, x, y)

        if self._steps is None:
            return attacked()
        begun = self._steps.count >= self.attack_delay
        if keras.backend.backend() == "jax":
            # The attack draws numbers, and what changes the random state may not be in a branch.
            return ops.where(begun, attacked(), x)
        return ops.cond(begun, attacked, lambda: x)

    def _classify(self, x):
        return self.classifier(self.encoder(x, training=False), training=False)

    def _advance(self):
        if self._steps is not None:
            self._steps.count.assign_add(1)

    def _crossentropy_of(self, logits, y, sample_weight, halves, y_pred):
        """The cross-entropy of what no mask on `y_pred`, the clean predictions, hides."""
        if sample_weight is not None:
            sample_weight = weights_in_a_row(sample_weight)
        labels = one_hot_labels(y, logits.shape[-1])
        count = ops.shape(labels)[0]
        parts = [logits[i * count : (i + 1) * count] for i in range(len(halves))]
        correct = classified(parts[0], labels)
        self._accuracy.update_state(correct, without_masked(sample_weight, y_pred))
        parts = [with_mask_of(y_pred, part) for part in parts]
        losses = [self._crossentropy(labels, part, sample_weight) for part in parts]
        return sum(half * loss for half, loss in zip(halves, losses))

    def get_compile_config(self):
        config = super().get_compile_config()
        if not self.compiled:
            return config
        optimizer, rate = self._compiled_with
        config["discriminator_rate"] = rate
        if rate != 1.0:
            config["optimizer"] = keras.saving.serialize_keras_object(
                keras.optimizers.get(optimizer)
            )
        for name in ("discriminator_optimizer", "encoder_optimizer") if self._alternating else ():
            # Compiling again wraps it again where the loss is scaled.
            optimizer = getattr(self, name)
            optimizer = getattr(optimizer, "inner_optimizer", optimizer)
            config[name] = keras.saving.serialize_keras_object(optimizer)
        return config

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        if not hasattr(self.prior, "get_config"):
            raise ValueError(
                f"Cannot save a prior of type {type(self.prior).__name__}, which has no "
                "get_config(). Wrap it in a registered class, or save inference_model()."
            )
        return {
            **super().get_config(),
            "encoder": serialize(self.encoder),
            "classifier": serialize(self.classifier),
            "discriminator": serialize(self.discriminator),
            "prior": serialize(self.prior),
            "weight": self.weight,
            "attack": serialize(self.attack),
            "attack_delay": self.attack_delay,
            "clean_share": self.clean_share,
        }

    @classmethod
    def from_config(cls, config):
        parts = ("encoder", "classifier", "discriminator", "prior", "attack")
        return cls(**with_parts(config, parts))


def _check_metrics(*metrics):
    """Raises where a compiled metric has the name of a log that the model writes itself."""
    for metric in keras.tree.flatten([given for given in metrics if given is not None]):
        name = getattr(metric, "name", metric)
        if name in ("accuracy", "acc", "divergence"):
            raise checks.refused(
                "metrics", "other names than those of the model's own logs", f"{name!r}"
            )


class _Crossentropy(ReplicatedLoss):
    def call(self, y_true, y_pred):
        return crossentropy(y_true, y_pred)


class _Steps(keras.layers.Layer):
    """Counts training steps, in a weight that is saved with the model."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.count = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False, name="count"
        )
        self.built = True


def _check_networks(encoder, classifier, discriminator):
    """Checks that the networks fit together and returns the size of a code."""
    checks.built_model("encoder", encoder)
    checks.built_model("classifier", classifier)
    if discriminator is not None:
        checks.built_model("discriminator", discriminator)
    if len(encoder.output_shape) != 2:
        raise checks.refused(
            "encoder", "outputs of shape (batch, code_size)", str(encoder.output_shape)
        )
    code_size = encoder.output_shape[-1]
    if classifier.input_shape[1:] != (code_size,):
        raise checks.refused(
            "classifier",
            f"inputs of {code_size} numbers, as the encoder's outputs",
            str(classifier.input_shape),
        )
    check_returns_logits("classifier", classifier)
    if discriminator is not None and (
        discriminator.input_shape[1:] != (code_size,) or discriminator.output_shape[1:] != (1,)
    ):
        raise checks.refused(
            "discriminator",
            f"{code_size} inputs and one output",
            f"{discriminator.input_shape} to {discriminator.output_shape}",
        )
    return code_size
