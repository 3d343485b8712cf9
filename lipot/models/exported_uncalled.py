"""Exporting a model around other ones, which `fit` may have trained without a call of it."""

from keras import ops


class ExportsUncalled:
    """Mixin: a model with an `input_shape` that can be exported before its first call.

    Keras exports a subclassed model for what it was first called with.
    """

    def export(self, filepath, *args, **kwargs):
        """As in `keras.Model.export`, for batches of any size."""
        shape = self.input_shape[1:]
        if None not in shape:
            self(ops.zeros((1, *shape)))
        return super().export(filepath, *args, **kwargs)
