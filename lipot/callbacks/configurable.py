"""The base of lipot's callbacks."""

import keras


class Configurable(keras.callbacks.Callback):
    """A callback that goes through Keras serialization.

    Attributes:
        progress: Names of the attributes that training changes and a resumed training needs, each
            an argument of the constructor and a JSON value.
    """

    progress = ()

    @classmethod
    def from_config(cls, config):
        return cls(**config)
