"""A classifier that sees what a purifier makes of its input."""

import keras
from keras import ops

from lipot import checks
from lipot.backend.keras_graph import takes_training
from lipot.math.gradients import straight_through
from lipot.models.exported_uncalled import ExportsUncalled
from lipot.models.first_batch import one_array
from lipot.models.forgets_programs import ForgetsPrograms
from lipot.models.parts import with_parts

BACKWARD = ("identity", "exact")


@keras.saving.register_keras_serializable(package="lipot")
class Purified(ForgetsPrograms, ExportsUncalled, keras.Model):
    r"""Purifies an input, then classifies it.

    $$ f(x) = c(p(x)) $$

    With `backward="identity"` its derivative is that of the classifier at the purified point,
    as if the purifier were the identity there: the backward pass differentiable approximation
    (BPDA) by which defences are attacked whose own derivative vanishes or leads nowhere. With
    `backward="exact"` it is the true derivative, through the purifier. The outputs are the same:
    attack both twins, `with_backward` gives the other one, and believe the worse.

    The purifier runs in inference mode, in `fit` too. Train it first, by its own `fit`. With
    `backward="exact"` a `fit` of this model moves its weights too, unless it is frozen by
    `purifier.trainable = False`.

    A Keras mask on the inputs does not pass the purifier, which changes what it hides; Keras warns.
    One that layers of the classifier read off the purified inputs reaches losses and metrics.

    Args:
        purifier: Keras layer or model from inputs to inputs, such as those of `lipot.purifiers`.
        classifier: Keras model from inputs to outputs `(batch, classes)`.
        backward: `"identity"` or `"exact"`.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        That of `classifier`.

    Output shape:
        That of `classifier`.

    Lipschitz bound:
        None is stated: `lipot.certify` refuses the model, which has no graph. Attack it, along
        both derivatives.

    Reference:
        Athalye, Carlini and Wagner, "Obfuscated gradients give a false sense of security", 2018;
        OTAD, section V.D.

    Example:

    >>> import keras, lipot, numpy as np
    >>> classifier = keras.Sequential([
    ...     keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    >>> model = Purified(lipot.purifiers.MedianFilter(3), classifier)
    >>> model(np.zeros((1, 4, 4, 1), "float32")).shape[-1]
    2
    """

    def __init__(self, purifier, classifier, backward="identity", **kwargs):
        super().__init__(**kwargs)
        self.purifier = checks.instance(
            "purifier", purifier, keras.layers.Layer, "a Keras layer or model"
        )
        self.classifier = checks.instance("classifier", classifier, keras.Model, "a Keras model")
        self.backward = checks.choice("backward", backward, BACKWARD)
        if classifier.built and hasattr(classifier, "input_shape"):
            self.build(classifier.input_shape)

    def build(self, input_shape):
        if not self.purifier.built:
            self.purifier.build(input_shape)
        purified = tuple(self.purifier.compute_output_shape(input_shape))
        if purified != tuple(input_shape):
            raise checks.refused(
                "purifier",
                f"outputs shaped like its inputs, {tuple(input_shape)}",
                f"shape {purified}",
            )
        if not self.classifier.built:
            self.classifier.build(input_shape)
        # Images may have other sides: what has no channels, or others, would fail deep inside.
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape), axes={-1: input_shape[-1]})
        self.built = True

    def call(self, inputs, training=False):
        return self.classifier(self.purify(inputs), training=training)

    def purify(self, inputs):
        """Returns what the classifier sees, `(batch, ...) -> (batch, ...)`."""
        inputs = ops.cast(one_array(inputs), self.compute_dtype)
        inference = {"training": False} if takes_training(self.purifier) else {}
        purified = ops.cast(self.purifier(inputs, **inference), inputs.dtype)
        if self.backward == "exact":
            return purified
        return straight_through(purified, inputs)

    def with_backward(self, backward):
        """Returns a model of the same purifier and classifier with the other derivative.

        Args:
            backward: `"identity"` or `"exact"`.
        """
        return Purified(
            self.purifier, self.classifier, backward, name=self.name, dtype=self.dtype_policy
        )

    @property
    def input_shape(self):
        return self.classifier.input_shape

    def compute_output_shape(self, input_shape):
        return self.classifier.compute_output_shape(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "purifier": keras.saving.serialize_keras_object(self.purifier),
            "classifier": keras.saving.serialize_keras_object(self.classifier),
            "backward": self.backward,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**with_parts(config, ("purifier", "classifier")))
