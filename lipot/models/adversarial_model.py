"""Adversarial training of any Keras classifier with the stock fit."""

import functools
import math

import keras
from keras import ops

from lipot import checks, notices
from lipot.attacks.base import Attack
from lipot.backend import compiles_derivatives
from lipot.backend.keras_graph import all_layers, with_mask_of
from lipot.backend.layer_calls import features_of
from lipot.layers.augmentations import is_augmentation
from lipot.losses.labels import weights_in_a_row, without_masked
from lipot.losses.logits import check_reads_logits, check_returns_logits
from lipot.losses.paired import PairedBatch, PairedLoss
from lipot.losses.weighted_loss import MeanLoss
from lipot.math.classes import classified
from lipot.math.scaling import wide_dtype
from lipot.models.collapse import WarnsOfCollapse
from lipot.models.exported_uncalled import ExportsUncalled
from lipot.models.first_batch import ChecksFirstBatch, labels_of, one_array
from lipot.models.forgets_programs import ForgetsPrograms
from lipot.models.parts import with_parts
from lipot.models.random_state import SavesRandomState
from lipot.models.weight_perturbation import at_perturbed_weights

# What the logs have beside the terms.
_LOGS = ("loss", "robust_accuracy")


@keras.saving.register_keras_serializable(package="lipot")
class AdversarialModel(
    ForgetsPrograms, ChecksFirstBatch, SavesRandomState, ExportsUncalled, keras.Model
):
    """Trains a classifier on clean and attacked batches, with any sum of paired losses.

    Of a training step only `compute_loss` is overridden: callbacks, `tf.data`, mixed precision and
    distribution are those of Keras. In `fit` and `evaluate` each batch is attacked, and the
    logs show `robust_accuracy` and every term before its weight. `predict` is the classifier's.
    Calling the model runs the classifier in inference mode; the terms run their own passes.

    A label outside the classes makes the loss NaN. The first batch given to `fit`, for validation
    too, or to `evaluate` must lie in the data range of the attack, and the classifier must not
    return probabilities for it. Data that cannot be seen before training, as a `DataLoader`, are
    not looked at.

    `fit` warns where a term, times its weight, exceeds what constant logits cost in all, and where
    a training ends with no less than that: there a network is better off saying nothing.

    Args:
        classifier: Keras model from inputs to logits (not probabilities).
        attack: A `lipot.attacks.Attack`, or `None` to train on clean inputs alone.
        losses: List of `lipot.losses.PairedLoss`. A `loss` given to `compile` is added to them,
            on the clean logits.
        features: Name of the layer whose output losses such as `GOT` compare. Defaults to the
            input of the last layer.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        That of `classifier`.

    Output shape:
        That of `classifier`, logits `(batch, classes)`.

    Lipschitz bound:
        That of `classifier`, whose graph `lipot.certify` walks.

    Reference:
        GOT, equations 3 and 4; OTJR, equation 13.

    Example:

    >>> import keras, lipot, numpy as np
    >>> classifier = keras.Sequential([
    ...     keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2)])
    >>> robust = lipot.models.AdversarialModel(
    ...     classifier, attack=lipot.attacks.PGD(eps=0.1, steps=2),
    ...     losses=[lipot.losses.AdversarialCrossentropy()])
    >>> robust.compile("sgd")
    >>> x, y = np.ones((6, 4), "float32"), np.array([0, 1, 0, 1, 0, 1])
    >>> sorted(robust.fit(x, y, verbose=0).history)
    ['adversarial_crossentropy', 'loss', 'robust_accuracy']
    """

    def __init__(self, classifier, attack, losses, features=None, **kwargs):
        super().__init__(**kwargs)
        # The classifier casts its inputs, and where it does not nothing else may.
        self.autocast = False
        self.supports_jit = compiles_derivatives()
        # One loss alone, as Keras takes it.
        losses = list(losses) if isinstance(losses, list | tuple) else [losses]
        _check(classifier, attack, losses, features)
        _warn_of_augmentation(classifier)
        self.classifier = classifier
        self.attack = attack
        self.terms = losses
        self.features = features
        self._gamma = None
        self.classes = self.feature_size = None
        self.has_met_weights = False
        self._mean = MeanLoss(name="mean", dtype="float32")
        self._term_metrics = [
            keras.metrics.Mean(name=term.name, dtype=wide_dtype()) for term in self.terms
        ]
        self._robust_accuracy = keras.metrics.Mean(name="robust_accuracy", dtype=wide_dtype())
        if classifier.built and hasattr(classifier, "input_shape"):
            self.build(classifier.input_shape)

    def build(self, input_shape):
        if not self.classifier.built:
            self.classifier.build(input_shape)
        logits = self.classifier.compute_output_spec(keras.KerasTensor(input_shape))
        if len(logits.shape) != 2 or logits.shape[-1] < 2:
            raise checks.refused(
                "classifier",
                "logits of shape (batch, classes) with at least two classes",
                str(tuple(logits.shape)),
            )
        self.classes = int(logits.shape[-1])
        probe = None
        if self.features is not None or any(term.needs_features for term in self.terms):
            probe = _probe(self.classifier, self.features)
            self.feature_size = math.prod(probe.output_shape[1][1:])

        def logits_and_features(x, training):
            if probe is None:
                return self.classifier(x, training=training), None
            return probe(x, training=training)

        # Held in a function, so that Keras does not track the classifier's layers twice.
        self._logits_and_features = logits_and_features
        for term in (term for term in self.terms if not term.built):
            term.build(probe.output_shape[1] if probe is not None else None)
        self.built = True

    @property
    def input_shape(self):
        return self.classifier.input_shape

    def call(self, inputs):
        return self.classifier(one_array(inputs), training=False)

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        *args,
        **kwargs,
    ):
        # What a training that broke off has left.
        self.perturb_weights(None)
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = [*keras.tree.flatten(callbacks or []), WarnsOfCollapse()]
        return super().fit(x, y, batch_size, epochs, verbose, callbacks, *args, **kwargs)

    def perturb_weights(self, gamma):
        """Has each training step take its gradient at worse weights: see the callback for AWP.

        Args:
            gamma: Positive float, how far a kernel is moved as a share of its norm; `None` to stop.
        """
        if gamma == self._gamma:
            return
        self._gamma = gamma
        # The program that is compiled holds what it was traced with.
        self.forget_train_function()

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        check_reads_logits("loss", self.loss)
        x, y = ops.cast(one_array(x), keras.config.floatx()), labels_of(y)
        x_adv = self._attacked(x, y)
        if sample_weight is not None:
            self.has_met_weights = True
            sample_weight = weights_in_a_row(sample_weight)

        def outcome():
            return self._outcome(x, y, y_pred, x_adv, sample_weight, training)

        if training and self._gamma is not None:
            outcome = functools.partial(at_perturbed_weights, self, outcome, self._gamma)
        loss, values, correct = outcome()
        weights = without_masked(sample_weight, y_pred)
        for value, metric in zip(values, self._term_metrics):
            metric.update_state(value, weights)
        self._robust_accuracy.update_state(correct, weights)
        return loss

    def _outcome(self, x, y, y_pred, x_adv, sample_weight, training):
        """The objective, the values of each term, and which attacked inputs are classified."""
        batch = PairedBatch(
            lambda z: self._logits_and_features(z, training),
            x,
            y,
            x_adv,
            self.variables,
            training=training,
        )
        total, terms = 0.0, []
        for term in self.terms:
            values = with_mask_of(y_pred, term(batch))
            terms.append(values)
            total = total + term.weight.value * self._mean(values, values, sample_weight)
        correct = classified(batch.logits_adv, batch.labels)
        # The terms are in float32, whatever `floatx` is.
        if self.loss is not None:
            logits = with_mask_of(y_pred, batch.logits)
            stock = super().compute_loss(x, y, logits, sample_weight)
            total = total + ops.cast(stock, "float32")
        elif self.losses:
            total = total + ops.cast(super().compute_loss(x), "float32")
        return total, terms, correct

    def _attacked(self, x, y):
        if self.attack is None:
            return x
        return self.attack(lambda z: self.classifier(z, training=False), x, y)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "classifier": serialize(self.classifier),
            "attack": serialize(self.attack),
            "losses": [serialize(term) for term in self.terms],
            "features": self.features,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**with_parts(config, ("classifier", "attack", "losses")))


def _probe(classifier, features):
    """Returns a model from the classifier's inputs to its logits and its features."""
    if not getattr(classifier, "inputs", None):
        raise checks.refused(
            "classifier",
            "a Sequential or Functional model, since a loss compares features inside it",
            type(classifier).__name__,
        )
    names = [layer.name for layer in classifier.layers]
    if features is not None and features not in names:
        raise checks.invalid(
            "features", f"the name of a layer of the classifier, one of {names}", features
        )
    tensor = features_of(classifier, features)
    if None in tensor.shape[1:]:
        raise checks.refused(
            "features", "a layer whose output has a known size", f"shape {tuple(tensor.shape)}"
        )
    return keras.Model(classifier.inputs, [classifier.outputs[0], tensor])


def _warn_of_augmentation(classifier):
    names = [layer.name for layer in all_layers(classifier) if is_augmentation(layer)]
    if names:
        notices.warn(
            f"The classifier augments its inputs ({', '.join(names)}). Each pass draws anew: clean "
            "and attacked logits are of two different images, and the attack is made on a third. "
            "Augment in the data set instead, as in `dataset.map(lambda x, y: (augment(x), y))`",
        )


def _check(classifier, attack, losses, features):
    checks.instance("classifier", classifier, keras.Model, "a Keras model")
    check_returns_logits("classifier", classifier)
    checks.attackable("classifier", classifier)
    checks.instance("attack", attack, Attack | None, "a lipot attack or None")
    if not losses or not all(isinstance(term, PairedLoss) for term in losses):
        raise checks.invalid(
            "losses",
            "a list of at least one paired loss; `lipot.losses.AdversarialLoss` makes one of a "
            "loss of Keras",
            losses,
        )
    names = [term.name for term in losses]
    if len({*names, *_LOGS}) < len(names) + len(_LOGS):
        raise checks.refused(
            "losses",
            f"a different `name` for each, and none of those that the logs have besides, {_LOGS}",
            str(names),
        )
    checks.instance("features", features, str | None, "the name of a layer or None")
