"""Checks that every public object must pass."""

import dataclasses

import keras
import numpy as np

from lipot.layers.parametrizations import Parametrization
from lipot.math.precision import widest_float


def check_serializable(instance):
    """Sends an object through get_config/from_config and Keras serialization; returns the copy."""
    config = instance.get_config()
    copy = instance.__class__.from_config(config)
    assert copy.get_config() == config
    restored = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(instance), safe_mode=True
    )
    assert type(restored) is type(instance)
    assert restored.get_config() == config
    return restored


def check_layer(layer, input_shape, path, *, dtypes=("float32", "mixed_float16", "float16")):
    """Runs a layer through build, shapes, round trips, saving and dtype policies.

    Args:
        layer: An unbuilt layer.
        input_shape: Shape of one batch, batch size included, e.g. `(2, 8, 8, 3)`.
        path: Folder to write the `.keras` file into.

    Returns:
        The built model that holds the layer.
    """
    x = np.random.default_rng(0).normal(size=input_shape).astype("float32")
    inputs = keras.Input(input_shape[1:])
    model = keras.Model(inputs, layer(inputs))
    y = np.asarray(model.predict(x, verbose=0))
    assert tuple(layer.compute_output_shape(input_shape)) == y.shape
    assert np.all(np.isfinite(y))

    # One `predict` compares compiled with called; others would compile the same again.
    called = to_numpy(model(x))
    np.testing.assert_allclose(called, y, rtol=1e-5, atol=1e-5)

    file = f"{path}/{layer.name}.keras"
    model.save(file)
    loaded = keras.saving.load_model(file, safe_mode=True)
    np.testing.assert_allclose(to_numpy(loaded(x)), called, atol=1e-6)

    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_allclose(to_numpy(clone(x)), called, atol=1e-6)

    check_serializable(layer)
    for policy in dtypes:
        config = layer.get_config()
        config["dtype"] = policy
        out = layer.__class__.from_config(config)(keras.ops.convert_to_tensor(x))
        assert keras.backend.standardize_dtype(out.dtype) == keras.DTypePolicy(policy).compute_dtype
    return model


def functional(function, shape=(4,), dtype=None):
    """A model of one input that a function of its symbolic tensor makes."""
    inputs = keras.Input(shape, dtype=dtype)
    return keras.Model(inputs, function(inputs))


def to_numpy(tensor):
    """A NumPy array from a tensor of any backend."""
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def explicit_matrix(layer, input_shape):
    """The layer's linear map as a matrix: its response to each unit image, bias removed."""
    size = int(np.prod(input_shape))
    basis = np.eye(size, dtype="float32").reshape((size, *input_shape))
    zero = to_numpy(layer(np.zeros((1, *input_shape), "float32"))).ravel()
    return to_numpy(layer(basis)).reshape(size, -1).astype("float64") - zero


@dataclasses.dataclass(frozen=True, eq=False)
class FixedKernel(Parametrization):
    """Applies one kernel at inference, whatever the weights are."""

    kernel: object = None

    def exact(self, weights, site):
        return keras.ops.cast(self.kernel, next(iter(weights.values())).dtype)


def apply_kernel(layer, kernel):
    """Makes a built layer apply a kernel at inference that its own weights may not give."""
    layer.__dict__["parametrization"] = FixedKernel(keras.ops.convert_to_numpy(kernel))
    # What was kept before came from the same weights.
    layer._cache.variables[1].assign(keras.ops.zeros_like(layer._cache.variables[1].value))


# Of central differences, and the error that they leave.
_STEP, DIFFERENCE_ERROR = (1e-4, 1e-6) if widest_float() == "float64" else (1e-2, 2e-3)


def numeric_gradient(function, x, step=_STEP):
    """The gradient of a function of an array by central differences."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        ahead, behind = x.copy(), x.copy()
        ahead[place] += step
        behind[place] -= step
        gradient[place] = (float(function(ahead)) - float(function(behind))) / (2 * step)
    return gradient


def convolves_channels_first():
    """Whether the framework has convolutions with the channels first on this machine.

    TensorFlow has them on a CPU with AVX-512 alone.
    """
    ones = keras.ops.ones
    try:
        keras.ops.conv(ones((1, 1, 3, 3)), ones((3, 3, 1, 1)), data_format="channels_first")
    except Exception:
        return False
    return True
