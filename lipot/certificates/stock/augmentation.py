"""Data augmentation in certificates: refused in a model, and left out of the one to be served.

The `call` of Keras's augmentations trains by default. `predict` says `training=False`, so it leaves
them out; `model(x)` and an exported model say nothing, so they act there. No certificate holds for
both.
"""

import keras
import numpy as np
from keras import ops

from lipot.backend.keras_graph import takes_training
from lipot.layers.augmentations import AUGMENTATIONS
from lipot.layers.layer_bounds import refuse, register_bound


@register_bound(*AUGMENTATIONS)
def augmentation(layer, input_shape, norm):
    if type(layer) not in AUGMENTATIONS:
        raise ValueError(
            f"No Lipschitz bound is known for layer '{layer.name}' of class "
            f"{type(layer).__module__}.{type(layer).__qualname__}. Expected an augmentation of "
            "Keras itself: a subclass may change what it does at inference."
        )
    check_identity_at_inference(layer, input_shape)
    raise acts_in_calls(layer)


@register_bound(keras.layers.Pipeline)
def pipeline(layer, input_shape, norm):
    for inner in layer.layers:
        if type(inner) not in AUGMENTATIONS:
            raise ValueError(
                f"Layer '{layer.name}' cannot be certified. Expected a pipeline of augmentations "
                "that do nothing at inference; put other layers into the model itself. "
                f"Received: {type(inner).__name__} '{inner.name}'"
            )
        check_identity_at_inference(inner, input_shape)
    raise acts_in_calls(layer)


def acts_in_calls(layer):
    """The error for a layer that does in `model(x)` what it does not in `predict`."""
    return ValueError(
        f"Layer '{layer.name}' of class {type(layer).__name__} cannot be certified: its `call` has "
        "the default training=True, so it acts in `model(x)` and in an exported model, and not in "
        "`predict`. Expected a model that does the same in each: certify and serve the one "
        "without it, `served = lipot.interop.without_augmentation(model)`, which `lipot.to_keras` "
        "exports too. A layer of your own may have the default training=False or None."
    )


def check_identity_at_inference(layer, input_shape):
    """Raises unless a layer returns its inputs, to the last bit, when it does not train.

    Samples refute and do not prove: this guards against a layer that works at inference too, such
    as a random crop, in a place where one is meant that does not.

    Args:
        layer: A Keras layer.
        input_shape: Shape of its input, `(None, ...)`; unknown sizes count as 8.

    Example:

    >>> import keras
    >>> check_identity_at_inference(keras.layers.RandomFlip(), (None, 8, 8, 3))
    """
    shape = [n or 8 for n in input_shape[1:]]
    rng = np.random.default_rng(0)
    # Numbers in [0, 1], in [0, 255], of both signs, and a constant.
    batch = rng.uniform(size=(4, *shape)) * np.reshape(
        [1.0, 255.0, 1.0, 0.0], (4, *[1] * len(shape))
    )
    batch[2] -= 0.5
    batch = ops.cast(batch, layer.compute_dtype)
    arguments = {"training": False} if takes_training(layer) else {}
    outputs = layer(batch, **arguments)
    same = tuple(outputs.shape) == tuple(batch.shape)
    if not same or not bool(ops.all(ops.equal(ops.cast(outputs, batch.dtype), batch))):
        raise ValueError(
            f"Layer '{layer.name}' of class {type(layer).__name__} cannot be certified: it changes "
            "its inputs at inference too. Expected an augmentation that acts while training alone."
        )


for _name, _reason in {
    "RandomCrop": "It crops or resizes at inference too. Translate with RandomTranslation, or crop "
    "in the input pipeline.",
    "AutoContrast": "It stretches each image to its full range, at inference too: an almost "
    "constant image without bound.",
    "ContrastLimitedAdaptiveHistogramEqualization": "It equalizes each image at inference too, "
    "and jumps where a value enters another bin.",
}.items():
    if hasattr(keras.layers, _name):
        refuse(getattr(keras.layers, _name), _reason)
