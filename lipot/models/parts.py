"""Configurations of models that hold other objects."""

import keras


def with_parts(config, names):
    """Makes the parts of a model again from its configuration.

    Args:
        config: Dictionary, as `get_config` returns it.
        names: Names of the entries that `keras.saving.serialize_keras_object` made; each an
            object, a list of them, or `None`.

    Returns:
        The configuration with objects in these places.

    Example:

    >>> import keras
    >>> config = {"body": keras.saving.serialize_keras_object(keras.layers.ReLU()), "size": 3}
    >>> found = with_parts(config, ("body",))
    >>> type(found["body"]).__name__, found["size"]
    ('ReLU', 3)
    """
    deserialize = keras.saving.deserialize_keras_object
    return {**config, **{name: deserialize(config[name]) for name in names if name in config}}
