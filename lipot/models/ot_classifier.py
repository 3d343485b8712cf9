"""OT-Classifier: classification from a low-dimensional code that follows a prior."""

import keras
from keras import ops

from lipot import checks
from lipot.attacks.base import Attack
from lipot.backend import replica
from lipot.backend.keras_graph import final_squashing, update_loss
from lipot.losses.weighted_loss import ReplicatedLoss
from lipot.math import replicas
from lipot.math.divergences import crossentropy, one_hot_labels
from lipot.models.first_batch import ChecksFirstBatch
from lipot.models.random_state import SavesRandomState
from lipot.models.weight_gradients import total, weight_gradients


@keras.saving.register_keras_serializable(package="lipot")
class StandardNormal:
    """The standard normal distribution of codes.

    Args:
        code_size: Dimension of the code.
        seed: Integer, or `None` for one drawn from Keras' global generator.

    Example:

    >>> from lipot.models import StandardNormal
    >>> tuple(StandardNormal(4, seed=0).sample(10).shape)
    (10, 4)
    """

    def __init__(self, code_size, seed=None):
        self.code_size = code_size
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def sample(self, count):
        """Draws `count` codes, `(count, code_size)`."""
        return keras.random.normal((count, self.code_size), seed=self.seed_generator)

    def get_config(self):
        return {"code_size": self.code_size, "seed": self.seed}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(package="lipot")
class OTClassifier(ChecksFirstBatch, SavesRandomState, keras.Model):
    r"""Encoder, classifier and discriminator trained against each other.

    $$\min_{Q, C} \; \mathbb{E} \, \ell(C(Q(x)), y) + \lambda \, W_1(Q_\# P_X, P_Z)$$

    Each step of `fit` ascends the discriminator on `log D(z) - log D(Q(x))`, descends encoder and
    classifier on the cross-entropy, then ascends the encoder on `log D(Q(x))`, each with its own
    optimizer. Without a discriminator it is the paper's baseline E-CLA; with an attack, every
    batch is replaced by adversarial examples (OT-CLA+Adv). Inference uses encoder and classifier.

    The rest is as in any Keras model: losses are scaled in `mixed_float16`, regularizers of
    encoder and classifier count in `loss`, those of the discriminator in its own step, a frozen
    network is left alone, and `evaluate` estimates the divergence too.

    It trains on TensorFlow and PyTorch: the trainer of Keras on JAX carries one optimizer only.

    Args:
        encoder: Built Keras model from inputs to codes `(batch, code_size)`.
        classifier: Built Keras model from codes to logits.
        discriminator: Built Keras model from codes to `log D(z)`, one number; or `None`. Built
            of 1-Lipschitz layers, it makes the objective the Kantorovich-Rubinstein dual.
        prior: Object with `sample(count)` that returns `(count, code_size)`, such as a
            `tensorflow_probability` distribution. Defaults to `StandardNormal(code_size)`.
        weight: Factor `lambda` of the divergence from the prior.
        attack: A `lipot.attacks.Attack`, or `None`.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        That of `encoder`.

    Output shape:
        Logits, `(batch, classes)`.

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
        weight=1.0,
        attack=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        code_size = _check_networks(encoder, classifier, discriminator)
        self.encoder = encoder
        self.classifier = classifier
        self.discriminator = discriminator
        self.prior = _check_prior(StandardNormal(code_size) if prior is None else prior, code_size)
        # Named on the model too, so that Keras carries the prior's random state.
        self._prior_seed = getattr(self.prior, "seed_generator", None)
        self.weight = checks.nonnegative_float("weight", weight)
        self.attack = checks.instance("attack", attack, Attack | None, "a lipot attack or None")
        self._accuracy = keras.metrics.Mean(name="accuracy")
        if discriminator is not None:
            self._divergence = keras.metrics.Mean(name="divergence")
        self._crossentropy = _Crossentropy(name="crossentropy")
        self.built = True

    def call(self, inputs, training=False):
        return self.classifier(self.encoder(inputs, training=training), training=training)

    def inference_model(self):
        """Returns encoder and classifier as one functional model that shares their weights."""
        inputs = keras.Input(self.encoder.input_shape[1:])
        return keras.Model(inputs, self.classifier(self.encoder(inputs)))

    def compile(
        self,
        optimizer="adam",
        discriminator_optimizer="adam",
        encoder_optimizer="adam",
        **kwargs,
    ):
        """Configures training.

        Args:
            optimizer: Optimizer of encoder and classifier on the cross-entropy.
            discriminator_optimizer: Optimizer of the discriminator.
            encoder_optimizer: Optimizer of the encoder against the discriminator.
            **kwargs: Arguments of `keras.Model.compile`; there is no `loss` to give. Where
                Keras scales the loss of `optimizer`, the losses of the other two are as well.
        """
        if keras.backend.backend() == "jax":
            raise ValueError(
                "OTClassifier trains with three optimizers, and Keras on JAX carries one. "
                "Expected the TensorFlow or PyTorch backend."
            )
        super().compile(optimizer=optimizer, **kwargs)
        self.discriminator_optimizer = self._scaled_as_keras_does(discriminator_optimizer)
        self.encoder_optimizer = self._scaled_as_keras_does(encoder_optimizer)
        # Built here, so that a backup can be restored before the first step.
        trained = self.encoder.trainable_variables + self.classifier.trainable_variables
        self.optimizer.build(trained)
        self.encoder_optimizer.build(self.encoder.trainable_variables)
        if self.discriminator is not None:
            self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    def _scaled_as_keras_does(self, optimizer):
        optimizer = keras.optimizers.get(optimizer)
        scaling = keras.optimizers.LossScaleOptimizer
        if isinstance(self.optimizer, scaling) and not isinstance(optimizer, scaling):
            return scaling(optimizer)
        return optimizer

    def train_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        x = ops.cast(x, keras.config.floatx())
        if self.attack is not None:
            x = self.attack(lambda z: self(z, training=False), x, y)

        # The codes before this step serve both: the cross-entropy reads no discriminator.
        def classification(call):
            codes = call(self.encoder, x)
            logits = ops.cast(call(self.classifier, codes), "float32")
            loss = self._loss(logits, y, sample_weight) + _share(call.penalty())
            return self.optimizer.scale_loss(loss), (codes, logits, loss)

        step = weight_gradients([self.encoder, self.classifier], classification)
        codes, logits, loss = step.auxiliary
        if self.discriminator is not None:
            self._ascend_discriminator(ops.stop_gradient(codes))
        _apply(self.optimizer, step)
        if self.discriminator is not None and self.encoder.trainable_variables:
            self._ascend_encoder(x)
        update_loss(self, loss * replica().count, ops.shape(x)[0])
        self._update_accuracy(logits, y, sample_weight)
        return self.compute_metrics(x, y, logits, sample_weight)

    def test_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        codes = self.encoder(x, training=False)
        logits = ops.cast(self.classifier(codes, training=False), "float32")
        penalty = _share(total(self.encoder.losses + self.classifier.losses))
        loss = self._loss(logits, y, sample_weight) + penalty
        if self.discriminator is not None:
            call = lambda network, z: network(z, training=False)  # noqa: E731
            self._divergence.update_state(replicas.total(self._gap(call, codes)))
        update_loss(self, loss * replica().count, ops.shape(codes)[0])
        self._update_accuracy(logits, y, sample_weight)
        return self.compute_metrics(x, y, logits, sample_weight)

    def _gap(self, call, codes):
        """What the discriminator gives codes of the prior above those of the encoder.

        It is the share of this replica: the gap of the global batch is the sum of all.
        """
        ideal = replicas.draw(self.prior.sample, ops.shape(codes)[0])
        pair = (ops.cast(ideal, codes.dtype), codes)
        scores = [ops.cast(call(self.discriminator, z), "float32") for z in pair]
        return replicas.mean(scores[0]) - replicas.mean(scores[1])

    def _ascend_discriminator(self, codes):
        def separation(call):
            gap = self._gap(call, codes)
            # It runs twice, on the prior's codes and on the encoder's: one penalty of the two.
            loss = -self.weight * gap + 0.5 * _share(call.penalty())
            return self.discriminator_optimizer.scale_loss(loss), gap

        step = weight_gradients([self.discriminator], separation)
        _apply(self.discriminator_optimizer, step)
        self._divergence.update_state(replicas.total(step.auxiliary))

    def _ascend_encoder(self, x):
        def plausibility(call):
            codes = call(self.encoder, x)
            scores = ops.cast(self.discriminator(codes, training=False), "float32")
            return self.encoder_optimizer.scale_loss(-self.weight * replicas.mean(scores)), ()

        _apply(self.encoder_optimizer, weight_gradients([self.encoder], plausibility))

    def _loss(self, logits, y, sample_weight):
        return self._crossentropy(one_hot_labels(y, logits.shape[-1]), logits, sample_weight)

    def _update_accuracy(self, logits, y, sample_weight):
        labels = one_hot_labels(y, logits.shape[-1])
        correct = ops.argmax(logits, axis=-1) == ops.argmax(labels, axis=-1)
        self._accuracy.update_state(correct, sample_weight)

    def get_compile_config(self):
        config = super().get_compile_config()
        for name in ("discriminator_optimizer", "encoder_optimizer"):
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
        }

    @classmethod
    def from_config(cls, config):
        parts = ("encoder", "classifier", "discriminator", "prior", "attack")
        built = {name: keras.saving.deserialize_keras_object(config[name]) for name in parts}
        return cls(**{**config, **built})


def _apply(optimizer, step):
    if step.variables:
        optimizer.apply(step.gradients, step.variables)


def _share(penalty):
    """What each replica adds of a penalty on weights, since their gradients are added up."""
    return penalty / replica().count


class _Crossentropy(ReplicatedLoss):
    def call(self, y_true, y_pred):
        return crossentropy(y_true, y_pred)


def _check_networks(encoder, classifier, discriminator):
    """Checks that the networks fit together and returns the size of a code."""
    for name, network in (
        ("encoder", encoder),
        ("classifier", classifier),
        ("discriminator", discriminator),
    ):
        optional = name == "discriminator" and network is None
        if not optional and not (isinstance(network, keras.Model) and network.built):
            raise ValueError(
                f"Invalid value received for argument `{name}`. Expected a built Keras model. "
                f"Received: {name}={network!r}"
            )
    if len(encoder.output_shape) != 2:
        raise ValueError(
            "Invalid value received for argument `encoder`. Expected outputs of shape (batch, "
            f"code_size). Received: {encoder.output_shape}"
        )
    code_size = encoder.output_shape[-1]
    if classifier.input_shape[1:] != (code_size,):
        raise ValueError(
            f"Invalid value received for argument `classifier`. Expected inputs of {code_size} "
            f"numbers, as the encoder's outputs. Received: {classifier.input_shape}"
        )
    squashing = final_squashing(classifier)
    if squashing is not None:
        raise ValueError(
            "Invalid value received for argument `classifier`. Expected a model that returns "
            f"logits. Received: at its end {squashing}"
        )
    if discriminator is not None and (
        discriminator.input_shape[1:] != (code_size,) or discriminator.output_shape[1:] != (1,)
    ):
        raise ValueError(
            f"Invalid value received for argument `discriminator`. Expected {code_size} inputs "
            "and one output. "
            f"Received: {discriminator.input_shape} to {discriminator.output_shape}"
        )
    return code_size


def _check_prior(prior, code_size):
    if not callable(getattr(prior, "sample", None)):
        raise ValueError(
            "Invalid value received for argument `prior`. Expected an object with a `sample` "
            f"method. Received: prior={prior!r}"
        )
    shape = tuple(prior.sample(2).shape)
    if shape != (2, code_size):
        raise ValueError(
            "Invalid value received for argument `prior`. Expected `sample(2)` of shape "
            f"(2, {code_size}). Received: shape={shape}"
        )
    return prior
