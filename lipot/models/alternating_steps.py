"""The steps of OT-Classifier with an optimizer for each, as its paper writes them."""

import keras
from keras import ops

from lipot import checks
from lipot.backend import replica
from lipot.backend.keras_graph import mask_of, update_loss, with_mask_of
from lipot.losses.labels import read_mask
from lipot.math import replicas
from lipot.models.first_batch import labels_of
from lipot.models.weight_gradients import weight_gradients


class AlternatingSteps:
    """Mixin of `OTClassifier`: discriminator, cross-entropy and encoder step one after the other.

    Used where `compile` is given an optimizer of the discriminator or of the encoder. It overrides
    `train_step`, and trains on TensorFlow and PyTorch.
    """

    def _alternate(self, data):
        clean, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        y = labels_of(y)
        x, halves = self._batch(clean, y, training=True)

        # The codes before this step serve both: the cross-entropy reads no discriminator.
        def classification(call):
            codes = call(self.encoder, x)
            y_pred = call(self.classifier, codes)
            logits = ops.cast(y_pred, "float32")
            if mask_of(y_pred) is not None:
                # The mask of clean inputs, for an attack changes what it is read from.
                y_pred = self._classify(clean)
            loss = self._crossentropy_of(logits, y, sample_weight, halves, y_pred)
            loss = loss + share_of(call.penalty())
            return self.optimizer.scale_loss(loss), (codes, logits, loss, y_pred)

        step = weight_gradients([self.encoder, self.classifier], classification)
        codes, logits, loss, y_pred = step.auxiliary
        kept = kept_rows(y_pred, halves)
        if self.discriminator is not None:
            self._ascend_discriminator(ops.stop_gradient(codes), kept)
        _apply(self.optimizer, step)
        if self.discriminator is not None and self.encoder.trainable_variables:
            self._ascend_encoder(x, kept)
        self._advance()
        count = ops.shape(x)[0] // len(halves)
        update_loss(self, loss * replica().count, count)
        logits = with_mask_of(y_pred, logits[:count])
        return self.compute_metrics(clean, y, logits, sample_weight)

    def _ascend_discriminator(self, codes, kept):
        def separation(call):
            gap = self._gap(lambda z: call(self.discriminator, z), codes, kept)
            # It runs twice, on the prior's codes and on the encoder's: one penalty of the two.
            loss = -self.weight * gap + 0.5 * share_of(call.penalty())
            return self.discriminator_optimizer.scale_loss(loss), gap

        step = weight_gradients([self.discriminator], separation)
        _apply(self.discriminator_optimizer, step)
        self._divergence.update_state(replicas.total(step.auxiliary))

    def _ascend_encoder(self, x, kept):
        def plausibility(call):
            codes = call(self.encoder, x)
            scores = ops.cast(self.discriminator(codes, training=False), "float32")
            separation = -self.weight * replicas.mean(scores, kept)
            return self.encoder_optimizer.scale_loss(separation), ()

        _apply(self.encoder_optimizer, weight_gradients([self.encoder], plausibility))

    def _compile_alternating(self, discriminator_optimizer, encoder_optimizer):
        if keras.backend.backend() == "jax":
            raise ValueError(
                "Invalid value received for argument `discriminator_optimizer` or "
                "`encoder_optimizer`. Expected None on the JAX backend, where Keras carries one "
                "optimizer; the one of `optimizer` then trains all three networks."
            )
        _check_averages(
            optimizer=self.optimizer,
            discriminator_optimizer=discriminator_optimizer,
            encoder_optimizer=encoder_optimizer,
        )
        self.discriminator_optimizer = self._of_one_step(discriminator_optimizer, self.optimizer)
        self.encoder_optimizer = self._of_one_step(
            encoder_optimizer, self.optimizer, self.discriminator_optimizer
        )
        # Built here, so that a backup can be restored before the first step.
        trained = self.encoder.trainable_variables + self.classifier.trainable_variables
        self.optimizer.build(trained)
        self.encoder_optimizer.build(self.encoder.trainable_variables)
        if self.discriminator is not None:
            self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    def _of_one_step(self, optimizer, *others):
        """An optimizer as `compile` got it: a copy of the first for None, or of what others are."""
        first = _inner(self.optimizer)
        optimizer = first if optimizer is None else keras.optimizers.get(optimizer)
        # One optimizer keeps the moments of one list of variables.
        if any(_inner(optimizer) is _inner(other) for other in others):
            optimizer = type(optimizer).from_config(optimizer.get_config())
        scaling = keras.optimizers.LossScaleOptimizer
        if isinstance(self.optimizer, scaling) and not isinstance(optimizer, scaling):
            return scaling(optimizer)
        return optimizer


def _inner(optimizer):
    return getattr(optimizer, "inner_optimizer", optimizer)


def _check_averages(**optimizers):
    """Raises where an optimizer keeps averages: the steps of two move the encoder."""
    for name, optimizer in optimizers.items():
        optimizer = keras.optimizers.get(optimizer) if optimizer is not None else None
        if optimizer is not None and _inner(optimizer).use_ema:
            raise checks.refused(
                name, "one without averages where each step has its own", "one with use_ema=True"
            )


def kept_rows(y_pred, halves):
    """1 for each row of a step that counts and 0 for one that a mask hides, `(rows, 1)`, or None.

    An attack changes the values that a mask is read from: its half has the mask of the clean one.
    """
    mask = read_mask(y_pred, "float32")
    return None if mask is None else ops.concatenate([mask[:, None]] * len(halves))


def share_of(penalty):
    """What each replica adds of a penalty on weights, since their gradients are added up."""
    return penalty / replica().count


def _apply(optimizer, step):
    if step.variables:
        optimizer.apply(step.gradients, step.variables)
