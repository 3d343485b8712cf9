"""ART estimators on a Keras model, with compiled predictions and gradients."""

import keras
import numpy as np
from art.estimators.classification import TensorFlowV2Classifier
from art.estimators.classification.classifier import ClassifierNeuralNetwork
from keras import ops

from lipot import backend, checks
from lipot.attacks import Victim
from lipot.backend.calls import stateless_call
from lipot.backend.keras_graph import random_states
from lipot.backend.layer_calls import output_of
from lipot.interop.art.losses import resolve


class NotFinite(ValueError):
    """A model answered an attack with NaN or infinity, or was asked about such inputs.

    Args:
        message: What is said of it.
        points: The inputs of which the model gave such outputs, `(n, ...)`; `None` where the
            inputs were none themselves.
    """

    def __init__(self, message, points=None):
        super().__init__(message)
        self.points = points


class _CompiledEstimator:
    """What an ART attack calls, answered by `Programs`."""

    estimator_params = ["model", "clip_values", "channels_first", "nb_classes", "input_shape"]

    def _connect(self, programs, keras_model, input_shape):
        self.keras_model = keras_model
        self._programs = programs
        self._input_shape = input_shape
        self._activation_programs = {}
        self._logits_model = None
        self._victim = None
        self.nb_classes = programs.classes

    def with_loss(self, loss):
        """Returns an estimator of the same model whose loss is another one.

        Args:
            loss: As in `classifier`.

        Returns:
            An estimator that shares the compiled predictions and class gradients.
        """
        loss = resolve(loss, units=self._programs.outputs_head.units, classes=self.nb_classes)
        return self._around(self._programs.with_loss(loss))

    def with_probabilities(self):
        """Returns an estimator of the same model that predicts the softmax of the logits.

        A few attacks, such as SimBA and VirtualAdversarialMethod, ask for probabilities. The
        loss and its gradient stay those of the logits.
        """
        return self._around(self._programs.with_probabilities())

    def with_eot_samples(self, samples):
        """Returns an estimator of the same model that averages over another number of draws.

        Args:
            samples: As `eot_samples` in `classifier`.
        """
        samples = checks.positive_int("samples", samples)
        return self._around(self._programs.with_eot_samples(samples))

    @property
    def eot_samples(self):
        """Draws of a random model whose mean attacks see."""
        return self._programs.eot_samples

    def logits_model(self):
        """Returns a Keras model from what attacks move to the logits, on the same weights.

        It holds the preprocessing and whatever makes logits of the outputs, so that attacks
        written for Keras models see what ART's see.
        """
        if self._logits_model is None:
            programs = self._programs
            self._logits_model = _LogitsModel(programs.logits_head, programs.preprocess)
        return self._logits_model

    def victim(self):
        """Returns the `lipot.attacks.Victim` of `logits_model`, whose programs all runs share."""
        if self._victim is None:
            self._victim = Victim(self.logits_model(), random=self.eot_samples > 1)
        return self._victim

    @property
    def input_shape(self):
        """Shape of one input."""
        return self._input_shape

    @property
    def layer_names(self):
        """Names that `get_activations` accepts."""
        return [layer.name for layer in self._programs.single_draw[0].model.layers]

    def predict(self, x, batch_size=128, training_mode=False, **kwargs):
        """Predictions of a batch, `(n, nb_classes)`: logits, or what `with_probabilities` gives.

        Args:
            x: Inputs, `(n, *input_shape)`.
            batch_size: Ignored: attacks pass their own, of 1 as a rule, and results do not
                depend on it. Memory is bounded all the same.
            training_mode: Ignored: attacks see the model of inference.
            **kwargs: Ignored, as in ART.
        """
        x = self._check_inputs(x)
        predictions = self._programs.predict(x)
        finite = np.isfinite(predictions).all(axis=1)
        if not np.all(finite):
            raise NotFinite(
                f"Model '{self.keras_model.name}' returns NaN or infinite outputs on finite "
                "inputs. Expected finite weights, and no layer that divides by zero or takes the "
                "logarithm of it.",
                x[~finite],
            )
        return predictions

    def loss_gradient(self, x, y, training_mode=False, **kwargs):
        """Gradient of the loss with respect to `x`; a tensor where `x` is one."""
        if ops.is_tensor(x):
            return self._programs.loss_gradient(x, ops.cast(y, "float32"))
        x, y = self._check_inputs(x), self._check_labels(y)
        return ops.convert_to_numpy(self._programs.loss_gradient(x, y))

    def compute_loss(self, x, y, reduction="none", training_mode=False, **kwargs):
        """Loss of each sample, or their `"mean"` or `"sum"`."""
        x, y = self._check_inputs(x), self._check_labels(y)
        losses = ops.convert_to_numpy(self._programs.losses(x, y))
        return losses if reduction == "none" else getattr(losses, reduction)()

    def class_gradient(self, x, label=None, training_mode=False, **kwargs):
        """Gradients of the predictions with respect to `x`.

        Args:
            x: Inputs, `(n, *input_shape)`.
            label: `None` for all classes, an int for one, or one class for each sample.
            training_mode: Ignored: attacks see the model of inference.
            **kwargs: Ignored, as in ART.

        Returns:
            Array of shape `(n, nb_classes, *input_shape)`, or `(n, 1, *input_shape)` where
            `label` is given.
        """
        x = self._check_inputs(x)
        if label is None:
            return self._programs.class_gradients(x)
        labels = np.asarray(label, "int32").reshape(-1)
        in_range = np.all((labels >= 0) & (labels < self.nb_classes))
        if len(labels) not in (1, len(x)) or not in_range:
            raise checks.invalid(
                "label",
                f"one class, or one for each of the {len(x)} samples, from 0 to "
                f"{self.nb_classes - 1}",
                label,
            )
        return self._programs.class_gradient(x, np.broadcast_to(labels, len(x)))[:, None]

    def get_activations(self, x, layer, batch_size=128, framework=False):
        """Output of a hidden layer.

        Args:
            x: Inputs, `(n, *input_shape)`.
            layer: Index or name of the layer.
            batch_size: Ignored, as in `predict`.
            framework: Whether to return a tensor that can be differentiated.
        """
        if layer not in self._activation_programs:
            self._activation_programs[layer] = self._compile_activations(layer)
        activations = self._activation_programs[layer](x if ops.is_tensor(x) else np.asarray(x))
        return activations if framework else ops.convert_to_numpy(activations)

    def fit(self, x, y, **kwargs):
        """Always raises: a Keras model is trained with its own `fit`."""
        raise TypeError(
            "The estimator attacks a trained model and does not train it. Call `fit` of the "
            "Keras model; the estimator follows its weights."
        )

    def save(self, filename, path=None):
        """Always raises: a Keras model is saved with its own `save`."""
        raise TypeError("Save the Keras model with its own `save`; the estimator holds no state.")

    def __repr__(self):
        return (
            f"{type(self).__name__}(model={self.keras_model.name!r}, "
            f"input_shape={self.input_shape}, nb_classes={self.nb_classes})"
        )

    def _around(self, programs):
        return type(self)(
            programs,
            self.keras_model,
            self.input_shape,
            clip_values=self.clip_values,
            channels_first=self.channels_first,
        )

    def _compile_activations(self, layer):
        model = self._programs.single_draw[0].model
        found = model.get_layer(layer) if isinstance(layer, str) else model.layers[layer]
        part = keras.Model(model.inputs[0], output_of(model, found))
        preprocess = self._programs.preprocess
        return backend.compile_over_batches(part, lambda forward, x: forward(preprocess(x)))

    def _check_inputs(self, x):
        x = np.asarray(x, "float32")
        if x.shape[1:] != self.input_shape:
            raise checks.refused(
                "x", f"shape (n, {', '.join(map(str, self.input_shape))})", f"shape {x.shape}"
            )
        if not np.all(np.isfinite(x)):
            # A NaN may leave a ReLU as a zero: the attack would seem to succeed.
            raise NotFinite(
                "Invalid value received for argument `x`. Expected finite values. Received: "
                f"{np.count_nonzero(~np.isfinite(x))} NaN or infinite ones. If the data are "
                "finite, the attack made them: SquareAttack does, in l2 on images of less than "
                "10 pixels (lipot.interop.art.auto_attack leaves it out there)."
            )
        return x

    def _check_labels(self, y):
        y = np.atleast_1d(y)
        if y.ndim == 2 and y.shape[1] == self.nb_classes:
            return y.astype("float32", copy=False)
        return np.eye(self.nb_classes, dtype="float32")[checks.labels(y, len(y), self.nb_classes)]


class _LogitsModel(keras.Model):
    """`Programs.logits_head` as a Keras model; never saved."""

    def __init__(self, head, preprocess):
        super().__init__(name=head.model.name)
        self.inner = head.model
        self._read = head.read
        self._preprocess = preprocess
        self.built = True

    def call(self, inputs, training=False):
        return self._read(self.inner(self._preprocess(inputs), training=training))


class KerasEstimator(_CompiledEstimator, ClassifierNeuralNetwork):
    """ART estimator of a Keras model on JAX and PyTorch; made by `lipot.interop.art.classifier`.

    Args:
        programs: `Programs` of the model.
        keras_model: The Keras model.
        input_shape: Shape of one input.
        clip_values: As in `classifier`.
        channels_first: As in `classifier`.
    """

    def __init__(self, programs, keras_model, input_shape, *, clip_values, channels_first):
        super().__init__(
            model=programs.forward,
            clip_values=clip_values,
            channels_first=channels_first,
            preprocessing=None,
        )
        self._connect(programs, keras_model, input_shape)


class TensorFlowEstimator(_CompiledEstimator, TensorFlowV2Classifier):
    """ART estimator of a Keras model on TensorFlow; made by `lipot.interop.art.classifier`.

    Attacks such as AutoAttack recognize ART's `TensorFlowV2Classifier` and build another one
    around `model`, with a loss of their own: here `model` is a compiled callable from inputs to
    logits, so they gain from the compilation too.

    Args:
        programs: `Programs` of the model.
        keras_model: The Keras model.
        input_shape: Shape of one input.
        clip_values: As in `classifier`.
        channels_first: As in `classifier`.
    """

    def __init__(self, programs, keras_model, input_shape, *, clip_values, channels_first):
        super().__init__(
            model=_InputsOnly(programs),
            nb_classes=programs.classes,
            input_shape=input_shape,
            clip_values=clip_values,
            channels_first=channels_first,
            preprocessing=None,
        )
        self._connect(programs, keras_model, input_shape)
        self._check_params()

    def _check_params(self):
        super()._check_params()
        # Turns ART's PGD to its NumPy version: faster around a compiled gradient than its
        # TensorFlow one, and the only one of the two that supports momentum.
        self.all_framework_preprocessing = False

    def _predict_framework(self, x, training_mode=False):
        return self.model(x)


class _InputsOnly:
    """Predictions of a model, to be differentiated in the inputs and not in the weights."""

    def __init__(self, programs):
        head = programs.prediction_head
        model = head.model

        def predict(forward, x):
            # A tape outside a compiled call differentiates all that the call reads, the weights
            # too: cutting them off leaves half of the backward pass.
            frozen = [ops.stop_gradient(weight.value) for weight in model.trainable_variables]
            state = [weight.value for weight in model.non_trainable_variables]
            inputs = programs.preprocess(x)
            outputs, after = stateless_call(model, frozen, state, inputs, training=False)
            # Without this a random model would draw the same numbers in every call.
            drawn = {id(variable) for variable in random_states(model)}
            for variable, value in zip(model.non_trainable_variables, after):
                if id(variable) in drawn:
                    variable.assign(value)
            return head.read(outputs)

        self._predict = backend.compile_over_batches(model, predict)

    def __call__(self, x, training=False):
        return self._predict(x)
