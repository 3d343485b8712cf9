"""What compilers and `predict` do beyond the written order of a model is counted or refused."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import lipot
from lipot.certificates import classifier
from lipot.layers import LipschitzResidual, ScaledAveragePooling2D
from lipot.math import rounding
from tests.helpers import convolves_channels_first, to_numpy

X = np.array([[0.02, 0.06], [0.06, 0.02]], "float32")


def network(*parts, dtype=None, shape=(2,)):
    inputs = keras.Input(shape, dtype=dtype and dtype.removeprefix("mixed_"))
    outputs = inputs
    for part in parts:
        outputs = part(outputs)
    outputs = layers.Flatten(dtype=dtype)(outputs)
    model = keras.Model(inputs, layers.Dense(2, use_bias=False, dtype=dtype)(outputs))
    model.layers[-1].set_weights([np.eye(outputs.shape[-1], 2)])
    return model


def scaled(*factors, dtype=None):
    return [layers.Rescaling(factor, dtype=dtype) for factor in factors]


def identity():
    return layers.Dense(2, use_bias=False, kernel_initializer="identity")


FOLDED = {
    "to nothing": (scaled(1e-22, 1e-22, 1e22, 1e22), None),
    "to infinity": (scaled(1e25, 1e-25, 1e25), None),
    "in half precision": (scaled(255.0, 300.0, dtype="float16"), "float16"),
    "a quotient": ([lambda x: x / 1.5e38], None),
    "quotients": ([lambda x: x / 1e21, lambda x: -x, lambda x: x / 1e21], None),
    "through a matrix": ([*scaled(1e-22), identity(), *scaled(1e-22)], None),
    "through a ReLU": ([*scaled(1e-22), layers.ReLU(), *scaled(1e-22)], None),
    "through a sum": (
        [*scaled(1e-22), lambda x: layers.Average()([x, layers.ReLU()(x)]), *scaled(1e-22)],
        None,
    ),
    "a normalization": (
        [layers.Normalization(mean=0.0, variance=1e-6, dtype="float16")]
        + scaled(100.0, dtype="float16"),
        "float16",
    ),
}


@pytest.mark.parametrize("case", FOLDED)
@pytest.mark.parametrize("norm", [2, "inf"])
def test_constants_that_cannot_be_multiplied_first_are_refused(case, norm):
    parts, dtype = FOLDED[case]
    with pytest.raises(ValueError, match="Constant factors of this model multiply"):
        lipot.certify(network(*parts, dtype=dtype), X, norm=norm)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="float64 may be float32")
def test_a_product_that_vanishes_in_double_precision_too_is_refused():
    model = network(lambda x: x * 1e-200, lambda x: x * 1e-200, dtype="float64")
    with pytest.raises(ValueError, match="Constant factors of this model multiply.*from 0 to 1"):
        lipot.certify(model, X)


def test_factors_of_poolings_count_too():
    pool = [ScaledAveragePooling2D(1, k_coef_lip=1e-22) for _ in range(2)]
    with pytest.raises(ValueError, match="Constant factors of this model multiply"):
        lipot.certify(network(*pool, shape=(1, 2, 1)), X.reshape(2, 1, 2, 1))


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_an_ordinary_network_is_certified(dtype):
    branch = layers.Conv2D(3, 3, padding="same", kernel_initializer="zeros", dtype=dtype)
    model = network(
        layers.Rescaling(0.9, dtype=dtype),
        lambda x: layers.Average(dtype=dtype)([x, branch(x)]),
        layers.AveragePooling2D(2, dtype=dtype),
        layers.GlobalAveragePooling2D(dtype=dtype),
        shape=(8, 8, 3),
        dtype=dtype,
    )
    images = np.zeros((1, 8, 8, 3), "float32")
    images[..., 0] = 1.0
    assert lipot.certify(model, images).radius.max() > 0.0


def test_a_factor_that_all_terms_of_a_sum_share_may_be_taken_out_of_it():
    def hoisted(x):
        branches = [layers.ReLU(max_value=20000.0 - k, dtype="float16")(x) for k in range(8)]
        return layers.Add(dtype="float16")([b * (1 / 128) for b in branches])

    model = network(hoisted, dtype="float16")
    # Eight times 15,000 is no number of float16.
    certificate = lipot.certify(model, np.array([[15000.0, 1000.0]], "float32"))
    assert certificate.radius[0] == 0.0


@pytest.mark.parametrize("classes, certified", [(1000, True), (70_000, False)])
def test_a_softmax_over_more_classes_than_the_type_can_add_up(classes, certified):
    head = layers.Dense(classes, "softmax", dtype="float16", use_bias=False)
    model = keras.Sequential([keras.Input((2,), dtype="float16"), head])
    kernel = np.zeros((2, classes))
    kernel[0, 5] = 1.0
    head.set_weights([kernel])
    assert (lipot.certify(model, np.array([[0.5, 0.0]])).radius[0] > 0.0) == certified


def test_adapters_are_refused_in_every_type():
    model = network(identity())
    dense = model.layers[1]
    dense.enable_lora(1)
    dense.lora_kernel_a.assign([[1.0], [1.0]])
    dense.lora_kernel_b.assign([[1.0, -1.0]])
    with pytest.raises(ValueError, match="LoRA.*Expected merged weights"):
        lipot.certify(model, X)


def changed_activation(model):
    model.layers[1].activation = keras.activations.tanh


def adapted_anew(model):
    model.layers[1].adapt(7.0 * X + 3.0)


def test_predict_and_evaluate_forget_what_was_traced_before():
    normalization = layers.Normalization()
    normalization.adapt(X)
    for part, change in ((identity(), changed_activation), (normalization, adapted_anew)):
        model = network(part)
        model.compile(loss="mse")
        model.predict(X, verbose=0)
        model.evaluate(X, 0 * X, verbose=0)
        change(model)
        lipot.certify(model, X)
        scores = to_numpy(model(X))
        np.testing.assert_allclose(model.predict(X, verbose=0), scores, rtol=1e-5)
        found = model.evaluate(X, 0 * X, verbose=0)
        assert found == pytest.approx(np.mean(scores**2), rel=1e-5)


def test_whole_numbers_that_the_backend_cannot_hold_are_refused():
    x = np.array([[3_000_000_000, 1], [1, 3_000_000_000]])
    if np.array_equal(to_numpy(ops.convert_to_tensor(x)), x):
        assert lipot.certify(network(identity()), x).predictions.tolist() == [0, 1]
        return
    with pytest.raises(ValueError, match="Expected integers that the backend can hold"):
        lipot.certify(network(identity()), x)


def test_the_cast_of_predict_to_the_float_type_is_counted():
    model = network(identity(), dtype="float32")
    x = np.array([[1.0, 1.0003]], "float32")
    before = lipot.certify(model, x).radius[0]
    keras.config.set_floatx("float16")
    try:
        after = lipot.certify(model, x).radius[0]
    finally:
        keras.config.set_floatx("float32")
    assert before > 2e-4 and after == 0.0


def test_the_cast_before_a_search_is_counted():
    keras.utils.set_random_seed(0)
    x = np.concatenate([np.zeros((20, 2)), np.ones((20, 2))])
    x = (x + 0.05 * np.random.default_rng(0).normal(size=x.shape)).astype("float32")
    model = lipot.models.OTAD(
        network(identity()), keras.Sequential([keras.Input((2,)), identity()]), neighbors=20
    ).adapt(x)
    before = lipot.certify(model, x).radius
    keras.config.set_floatx("float16")
    try:
        after = lipot.certify(model, x).radius
    finally:
        keras.config.set_floatx("float32")
    assert np.any(before > 0.0)
    # One unit roundoff of float16 at the point, and one at the moved point.
    lost = 2.0**-10 * np.linalg.norm(x, axis=1)
    assert np.all(after <= np.maximum(before - lost, 0.0))


def test_products_are_looked_at_in_the_format_that_every_machine_has():
    keras.config.set_image_data_format("channels_first")
    try:
        assert rounding._products_keep(np.float32(1.0))
    finally:
        keras.config.set_image_data_format("channels_last")


RESIZED = [(2, 3), (2, 4), (4, 2), (4, 5), (3, 9), (2, 10), (5, 5), (5, 9)]


@pytest.mark.parametrize("size, output_size", RESIZED)
def test_a_compiler_resizes_as_the_framework_does_or_is_refused(size, output_size):
    resize = layers.Resizing(2 * output_size, 2 * output_size)
    images = np.random.default_rng(0).normal(size=(2, 2 * size, 2 * size, 1)).astype("float32")
    model = keras.Sequential([keras.Input(images.shape[1:]), resize])
    model.compile(jit_compile=keras.backend.backend() != "torch")
    same = np.allclose(model.predict(images, verbose=0), to_numpy(model(images)), atol=1e-4)
    if same:
        assert lipot.lipschitz_constant(model) >= 0.5
    else:
        with pytest.raises(ValueError, match="XLA may read other pixels"):
            lipot.lipschitz_constant(model)


FIRST = {"data_format": "channels_first", "bias_initializer": "uniform"}
BIASED = {
    "images": (lambda: layers.Conv2D(3, 1, **FIRST), (2, 4, 3)),
    "each channel": (lambda: layers.DepthwiseConv2D(1, **FIRST), (3, 4, 3)),
    "transposed": (lambda: layers.Conv1DTranspose(3, 1, **FIRST), (2, 3)),
    "steps": (lambda: layers.TimeDistributed(layers.Conv1D(3, 1, **FIRST)), (4, 2, 3)),
}
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"


@pytest.mark.skipif(not convolves_channels_first(), reason="There is none to add a bias to.")
@pytest.mark.parametrize("case", BIASED)
def test_a_bias_of_channels_that_may_meet_the_columns_is_refused(case):
    # `Conv2D` adds it to other values in `predict` than in `model(x)`, most others in an export.
    make, shape = BIASED[case]
    model, x = network(make(), shape=shape), _rising(shape)
    assert lipot.lipschitz_constant(model) > 0.0
    if ON_TENSORFLOW:
        with pytest.raises(ValueError, match="adds its bias along the columns"):
            lipot.certify(model, x)
    wider = _rising((*shape[:-1], 5))
    assert np.all(lipot.certify(network(make(), shape=wider.shape[1:]), wider).radius > 0.0)


@pytest.mark.parametrize("shift, elsewhere", [((3, 1, 1), True), ((1, 3), True), ((4, 1), False)])
def test_a_constant_that_may_be_taken_for_a_bias_is_refused(shift, elsewhere):
    numbers = np.arange(float(np.prod(shift)), dtype="float32").reshape(shift)
    model = network(lambda x: x + numbers, shape=(3, 4, 3))
    assert lipot.lipschitz_constant(model) > 0.0
    x = _rising((3, 4, 3))
    if ON_TENSORFLOW and elsewhere:
        with pytest.raises(ValueError, match="a bias along another axis"):
            lipot.certify(model, x)
        model = network(lambda x: ops.add(numbers, x), shape=(3, 4, 3))
    assert np.all(lipot.certify(model, x).radius > 0.0)


def _inner():
    inputs = keras.Input((2,)), keras.Input((2,))
    return keras.Model(inputs, layers.Maximum()(inputs))


MAXIMA = {
    "a multiple": (lambda x: ops.maximum(x, 3.0 * x), True),
    "a sum": (lambda x: ops.maximum(x + x, x), True),
    "a quotient": (lambda x: layers.Maximum()([-x, x, ops.maximum(-x, x) / 0.5]), True),
    "of an inner model": (lambda x: _inner()([x, 3.0 * x]), True),
    "in a branch": (lambda x: LipschitzResidual(keras.Model(x, ops.maximum(x, 3.0 * x)))(x), True),
    "a leaky ReLU": (lambda x: ops.maximum(x, 0.5 * x), False),
    "a minimum": (lambda x: ops.minimum(x, 3.0 * x), False),
    "others": (lambda x: layers.Maximum()([x, -3.0 * x, ops.flip(x, axis=1)]), False),
}


@pytest.mark.parametrize("case", MAXIMA)
def test_a_maximum_that_becomes_a_steep_leaky_relu_is_refused(case):
    # `predict` on TensorFlow gives the smaller ones, as it does on x86 processors.
    function, becomes = MAXIMA[case]
    model, x = network(function), np.array([[0.5, -0.2], [-0.4, -0.7]], "float32")
    assert lipot.lipschitz_constant(model) > 0.0
    if becomes and ON_TENSORFLOW:
        with pytest.raises(ValueError, match="computes as a minimum"):
            lipot.certify(model, x)
    else:
        assert np.any(lipot.certify(model, x).radius > 0.0)


PADDED = {
    "zeros": (layers.ZeroPadding3D(1), True),
    "zeros of an inner model": (
        keras.Sequential(
            [keras.Input((2, 2, 2, 1)), layers.ZeroPadding3D(((0, 0), (1, 0), (0, 0)))]
        ),
        True,
    ),
    "other numbers": (lambda x: ops.pad(x, [(0, 0), *[(1, 1)] * 3, (0, 0)], "symmetric"), False),
}


@pytest.mark.parametrize("case", PADDED)
def test_volumes_padded_twice_are_refused(case):
    # `predict` on TensorFlow pads them once, and gives smaller volumes.
    pad, zeros = PADDED[case]
    parts = [pad, layers.Conv3D(1, 2, padding="same"), layers.GlobalMaxPooling3D()]
    model, x = network(*parts, layers.Dense(2), shape=(2, 2, 2, 1)), _rising((2, 2, 2, 1))
    if zeros and ON_TENSORFLOW:
        with pytest.raises(ValueError, match="pads once"):
            lipot.certify(model, x)
    else:
        assert np.all(lipot.certify(model, x).radius > 0.0)


@pytest.mark.skipif(not ON_TENSORFLOW, reason="its programs compute something else")
def test_a_program_that_computes_something_else_is_refused_whatever_the_reason(monkeypatch):
    # A maximum that TensorFlow's programs take for a minimum, and nothing that knows of it.
    monkeypatch.setattr(classifier, "check_programs", lambda core, shape: None)
    model = network(lambda x: ops.maximum(x, 2.0 * x))
    x = np.tile(X, (20, 1))
    assert np.all(lipot.certify(model, x[:32], batch_size=1).radius > 0.0)
    with pytest.raises(ValueError, match="which rounding does not explain"):
        lipot.certify(model, x, batch_size=1)


def _rising(shape):
    return np.arange(float(np.prod(shape)), dtype="float32").reshape(1, *shape)
