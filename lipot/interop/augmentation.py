"""From a model that augments its training data to the one that is certified and served."""

import keras
from keras import ops

from lipot.backend.keras_graph import is_graph
from lipot.certificates.stock.augmentation import check_identity_at_inference
from lipot.interop.graph import check_graph
from lipot.layers.augmentations import is_augmentation


def without_augmentation(model):
    """Rebuilds a model on its own layers, without those of Keras that augment data.

    `predict` leaves augmentation out, `model(x)` and an exported model do not, since the `call` of
    these layers trains by default. The model returned here computes in every way what `predict`
    computes. An argument `training` written into the graph is left out for the same reason.

    Args:
        model: Built Sequential or functional model, nested ones included.

    Returns:
        An uncompiled functional `keras.Model` of the same name that shares its weights with
        `model`: it follows further training.

    Raises:
        ValueError: A model that is not built or not a graph of layers, or a layer that changes
            its inputs at inference too.

    Example:

    >>> import keras, lipot
    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 1)), keras.layers.RandomFlip(), keras.layers.Flatten(),
    ...     keras.layers.Dense(2)])
    >>> served = lipot.interop.without_augmentation(model)
    >>> [type(layer).__name__ for layer in served.layers]
    ['InputLayer', 'Identity', 'Flatten', 'Dense']
    >>> lipot.certify(served, keras.ops.ones((1, 8, 8, 1))).radius.shape
    (1,)
    """
    check_graph(model)
    stripped = {}

    def strip(operation):
        if id(operation) not in stripped:
            stripped[id(operation)] = _stripped(operation, strip)
        return stripped[id(operation)]

    return strip(model)


def _stripped(operation, strip):
    if is_augmentation(operation):
        return LeftOut(operation)
    if isinstance(operation, keras.Model) and is_graph(operation):
        return clone_graph(operation, strip)
    return operation


def clone_graph(model, replace):
    """A functional copy of a model, with `replace(operation)` called for each operation in it."""
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    else:
        model = keras.Model(model.input, model.output, name=model.name)
    return keras.models.clone_model(
        model, clone_function=replace, call_function=_called_at_inference
    )


def _called_at_inference(replaced, *args, **kwargs):
    named = {name: value for name, value in kwargs.items() if name != "training"}
    return replaced(*args, **named)


class LeftOut:
    """An augmentation, of which at inference an identity is left with the type of its outputs."""

    def __init__(self, layer):
        self._layer = layer

    def __call__(self, inputs, mask=None):
        check_identity_at_inference(self._layer, inputs.shape)
        sample = ops.zeros([n or 8 for n in inputs.shape], inputs.dtype)
        dtype = keras.backend.standardize_dtype(self._layer(sample, training=False).dtype)
        if not keras.backend.is_float_dtype(inputs.dtype):
            inputs = ops.cast(inputs, dtype)
        # A graph cannot give back its input as it is, in every version of Keras.
        return keras.layers.Identity(dtype=dtype)(inputs)
