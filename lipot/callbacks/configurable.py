"""The base of lipot's callbacks."""

import keras


class Configurable(keras.callbacks.Callback):
    """A callback that goes through Keras serialization.

    For another model than its first its progress begins anew.

    Attributes:
        progress: Names of the attributes that training changes and a resumed training needs, each
            an argument of the constructor and a JSON value.
    """

    progress = ()
    _serves = _first = None

    def set_model(self, model):
        super().set_model(model)
        if self._serves is None:
            self._first = {name: getattr(self, name) for name in self.progress}
        elif self._serves is not model:
            for name, value in self._first.items():
                setattr(self, name, value)
        self._serves = model

    @classmethod
    def from_config(cls, config):
        return cls(**config)
