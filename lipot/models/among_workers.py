"""Training by several processes, each with devices of its own."""

import keras
from keras import ops

from lipot import backend
from lipot.backend.keras_graph import forget_strategy


def among_workers(model):
    """Makes `fit` and `evaluate` of a model work under `tf.distribute.MultiWorkerMirroredStrategy`.

    There Keras 3 fails at the first batch: it averages batches of several tensors, and numbers over
    an axis that they do not have. Call this, and then `fit`, in the scope of the strategy.

    Args:
        model: Keras model, made in that scope.

    Returns:
        The model itself.

    Raises:
        ValueError: If there is no such scope.
    """
    if backend.worker() is None:
        raise ValueError(
            "among_workers() belongs into the scope of a strategy of several workers. Expected "
            "`with tf.distribute.MultiWorkerMirroredStrategy().scope():`. Received: none of them."
        )
    forget_strategy(model)
    model.train_step = _with_axis(model.train_step)
    model.test_step = _with_axis(model.test_step)
    return model


def _with_axis(step):
    def run(data):
        return keras.tree.map_structure(lambda value: ops.reshape(value, (1,)), step(data))

    return run
