"""The engine of the framework that Keras runs on."""

import keras

from lipot.backend.jax import JaxEngine
from lipot.backend.tensorflow import TensorFlowEngine
from lipot.backend.torch import TorchEngine

_ENGINES = {"tensorflow": TensorFlowEngine, "jax": JaxEngine, "torch": TorchEngine}


def _start():
    name = keras.backend.backend()
    if name not in _ENGINES:
        raise ImportError(
            "lipot needs a Keras backend that can differentiate. Expected KERAS_BACKEND to be "
            f"one of {sorted(_ENGINES)}. Received: {name}"
        )
    return _ENGINES[name]()


engine = _start()
