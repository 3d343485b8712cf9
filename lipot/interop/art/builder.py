"""From a Keras model to an ART estimator."""

import keras
import numpy as np
from keras import ops

from lipot import checks
from lipot.interop.art import heads, losses
from lipot.interop.art.estimator import KerasEstimator, TensorFlowEstimator
from lipot.interop.art.programs import Programs


def classifier(
    model,
    *,
    clip_values=None,
    loss="crossentropy",
    outputs="auto",
    preprocessing=None,
    input_shape=None,
    channels_first=None,
    eot_samples=1,
):
    """Wraps a Keras classifier for the attacks of the Adversarial Robustness Toolbox (ART).

    Every ART evasion attack on images accepts the estimator on TensorFlow; on JAX and PyTorch,
    every one that is written for estimators in general. Predictions and gradients are compiled,
    for any batch size, and follow the model's weights. Attacks see logits; a model of one unit
    `f` is seen as two classes with logits `(-f, f)`.

    Args:
        model: Built Keras model with one input and outputs of shape `(batch, units)`.
        clip_values: Pair of the least and greatest value of an input, as floats or arrays, or
            `None` where attacks may leave every range.
        loss: What attacks climb: `"crossentropy"` or `"margin"` of the logits,
            `"difference_logits_ratio"`, or a `keras.losses.Loss`, which reads the model's own
            outputs as in `compile`.
        outputs: What the model returns. `"logits"`; `"probabilities"`, to attack their
            logarithm; or `"auto"`, which takes off a final softmax or sigmoid, with a warning,
            and refuses probabilities whose logits it cannot find.
        preprocessing: Pair `(mean, std)`, floats or arrays: the model is given
            `(x - mean) / std`. `None` to give it `x`.
        input_shape: Shape of one input, where the model does not tell.
        channels_first: Whether images are `(channels, height, width)`. Defaults to the
            `image_data_format` of the Keras configuration.
        eot_samples: Calls of the model whose mean logits, and their gradient, attacks see:
            expectation over randomness (EOT) for a model that draws random numbers. One call
            says little about such a model.

    Returns:
        An ART estimator. Its `with_loss` gives one of the same model with another loss, and its
        `keras_model` is `model`.

    Raises:
        ValueError: An argument out of its range, or a model that is not built, not a classifier,
            or ends in probabilities, named in the message.

    Example:

    >>> import keras, numpy as np
    >>> from art.attacks.evasion import ProjectedGradientDescent
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    >>> estimator = classifier(model, clip_values=(0.0, 1.0))
    >>> attack = ProjectedGradientDescent(
    ...     estimator, norm=2, eps=0.5, eps_step=0.1, max_iter=5, verbose=False)
    >>> x = np.random.default_rng(0).uniform(size=(4, 8)).astype("float32")
    >>> bool(np.all(np.linalg.norm(attack.generate(x) - x, axis=1) <= 0.5001))
    True
    """
    _check_model(model)
    input_shape = _input_shape(model, input_shape)
    preprocess = _preprocess(preprocessing, input_shape)
    # Random values in [0, 1]: probabilities show themselves on any input.
    sample = preprocess(ops.cast(np.random.default_rng(0).random((8, *input_shape)), "float32"))
    units = _units(model, sample)
    logits = heads.logits_head(model, units, outputs, sample)
    programs = Programs(
        logits,
        heads.raw_head(model, units),
        losses.resolve(loss, units=units, classes=logits.classes),
        preprocess,
        checks.positive_int("eot_samples", eot_samples),
    )
    if channels_first is None:
        channels_first = keras.config.image_data_format() == "channels_first"
    on_tensorflow = keras.backend.backend() == "tensorflow"
    estimator = TensorFlowEstimator if on_tensorflow else KerasEstimator
    return estimator(
        programs,
        model,
        input_shape,
        clip_values=_clip_values(clip_values),
        channels_first=channels_first,
    )


def _check_model(model):
    checks.built_model("model", model)
    for what in ("inputs", "outputs"):
        tensors = getattr(model, what, None)
        if tensors is not None and len(tensors) != 1:
            raise checks.refused(
                "model",
                "a model of one input and one output",
                f"'{model.name}' with {len(tensors)} {what}",
            )


def _input_shape(model, input_shape):
    if input_shape is None:
        inputs = getattr(model, "inputs", None)
        input_shape = inputs[0].shape[1:] if inputs else (None,)
    if not all(isinstance(size, int | np.integer) and size > 0 for size in input_shape):
        raise checks.invalid(
            "input_shape",
            f"positive integers, as model '{model.name}' does not fix its input",
            input_shape,
        )
    return tuple(int(size) for size in input_shape)


def _preprocess(preprocessing, input_shape):
    if preprocessing is None:
        return lambda x: x
    if not isinstance(preprocessing, tuple | list) or len(preprocessing) != 2:
        raise checks.invalid("preprocessing", "a pair (mean, std)", preprocessing)
    mean, std = (np.asarray(values, "float32") for values in preprocessing)
    usable = np.all(np.isfinite(mean)) and np.all(np.isfinite(std)) and np.all(std > 0)
    if not usable or not all(_fits(values.shape, input_shape) for values in (mean, std)):
        raise checks.invalid(
            "preprocessing",
            f"finite values and positive deviations that fit inputs of shape {input_shape}",
            preprocessing,
        )
    return lambda x: (x - ops.convert_to_tensor(mean)) / ops.convert_to_tensor(std)


def _fits(shape, input_shape):
    aligned = zip(reversed(shape), reversed(input_shape))
    return len(shape) <= len(input_shape) and all(a in (1, b) for a, b in aligned)


def _units(model, sample):
    shape = tuple(model(sample, training=False).shape)
    if len(shape) != 2:
        raise checks.refused(
            "model",
            "outputs of shape (batch, units)",
            f"'{model.name}' with outputs of shape (batch, {', '.join(map(str, shape[1:]))})",
        )
    return shape[1]


def _clip_values(clip_values):
    if clip_values is None:
        return None
    low, high = (np.asarray(value, "float32") for value in clip_values)
    if not (np.all(np.isfinite(low)) and np.all(np.isfinite(high)) and np.all(low < high)):
        raise checks.invalid("clip_values", "two finite values, the lower one first", clip_values)
    return low, high
