"""What Keras does between and inside layers: certificates follow it, or refuse.

Each case was certified once, and was not what the model computes.
"""

import keras
import numpy as np
import pytest
from keras import ops

import lipot
from lipot import layers
from lipot.backend import keras_graph
from tests.helpers import functional, to_numpy

DENSE = {"use_bias": False, "kernel_initializer": "ones"}


def slope(model, step, size):
    """How much further two outputs lie apart than the inputs zero and one of equal values."""
    shape = (1, *model.input_shape[1:])
    found = [
        to_numpy(ops.cast(model(np.full(shape, value), training=False), "float32"))
        for value in (0.0, step)
    ]
    distance = np.linalg.norm(np.full(size, step))
    return np.linalg.norm((found[1] - found[0]).astype("float64")) / distance


@pytest.mark.parametrize(
    "add",
    [
        lambda x, s: x + s,
        lambda x, s: ops.add(x, s),
        lambda x, s: keras.layers.Add()([x, s]),
        lambda x, s: keras.layers.Average()([x, s]),
        lambda x, s: keras.layers.Add()([x, x, s]),
        lambda x, s: ops.add(np.ones((1, 4), "float32"), s),
    ],
    ids=["+", "add", "Add", "Average", "Add of three", "constant"],
)
def test_a_sum_that_may_mix_samples_is_refused(add):
    # TensorFlow takes (4, 1) for a bias of four channels where there are four samples.
    model = functional(lambda x: add(x, keras.layers.Dense(1)(x)))
    with pytest.raises(ValueError, match="mix the samples"):
        lipot.lipschitz_constant(model)


@pytest.mark.parametrize(
    "pair",
    [
        ((5, 4), (1, 4)),
        ((3, 4), (3, 4)),
        ((1, 4), (5, 1)),
        ((1, 4), (5, 4)),
    ],
    ids=str,
)
@pytest.mark.parametrize("batch", [1, 4, 5])
def test_a_sum_that_is_certified_is_the_broadcast_one(pair, batch):
    sizes = [int(np.prod(shape)) for shape in pair]
    model = functional(
        lambda x: (
            ops.reshape(x[:, : sizes[0]], (-1, *pair[0]))
            + ops.reshape(x[:, sizes[0] :], (-1, *pair[1]))
        ),
        (sum(sizes),),
    )
    assert lipot.lipschitz_constant(model) > 0.0
    x = np.random.default_rng(0).normal(size=(batch, sum(sizes))).astype("float32")
    first, second = np.split(x, sizes[:1], axis=1)
    expected = first.reshape(-1, *pair[0]) + second.reshape(-1, *pair[1])
    np.testing.assert_allclose(to_numpy(model(x)), expected, atol=1e-6)


@pytest.mark.parametrize(
    "activation",
    [
        lambda: keras.layers.ReLU(dtype="int32"),
        lambda: keras.layers.ReLU(dtype="float16"),
        lambda: keras.layers.ReLU(autocast=False),
        lambda: layers.TransportResidual([keras.layers.Dense(1)]),
        lambda: layers.LipschitzResidual([keras.layers.Dense(1)]),
    ],
    ids=["int32", "float16", "no cast", "transport residual", "residual"],
)
@pytest.mark.parametrize("dense", [keras.layers.Dense, layers.SpectralDense])
def test_a_layer_as_activation_that_rounds_unseen_is_refused(dense, activation):
    model = functional(lambda x: dense(1, activation=activation(), **DENSE)(x), (1,))
    with pytest.raises(ValueError, match="activation of another"):
        lipot.lipschitz_constant(model)


@pytest.mark.parametrize(
    "dtype, function, step",
    [
        ("float16", lambda x: x * 1.0005, 1.0),
        ("bfloat16", lambda x: x * 1.005, 1.0),
        ("float32", lambda x: x * 0.1, 1.0),
        ("float16", lambda x: x / 0.3333, 1.0),
        ("float16", keras.layers.LeakyReLU(1.0005, dtype="float16"), -1.0),
        ("bfloat16", keras.layers.ReLU(negative_slope=1.005, dtype="bfloat16"), -1.0),
    ],
)
def test_constants_count_as_they_are_applied(dtype, function, step):
    model = functional(function, (1,), dtype)
    # The last digit of what comes out belongs to the rounding.
    assert slope(model, step, 1) <= lipot.lipschitz_constant(model) * (1.0 + 2.0**-20)


@pytest.mark.parametrize(
    "dtype, function",
    [
        ("float16", lambda x: x * 3e-8),
        ("float16", lambda x: x / 8.9e-8),
        ("float16", lambda x: x / 1e-8),
        ("float16", lambda x: x * 7e4),
        ("float32", lambda x: x / 1e-39),
        ("float32", lambda x: x * 2j),
    ],
)
def test_constants_that_a_type_does_not_have_are_refused(dtype, function):
    with pytest.raises(ValueError, match="finite constants|No Lipschitz bound"):
        lipot.lipschitz_constant(functional(function, (1,), dtype))


def test_a_mean_may_overflow_before_it_divides():
    model = functional(
        lambda x: keras.layers.Dense(1, dtype="float16")(
            keras.layers.Average(dtype="float16")(
                [keras.layers.Identity(dtype="float16")(x) for _ in range(5)]
            )
        ),
        (1,),
        "float16",
    )
    model.layers[-1].set_weights([-np.ones((1, 1)), np.array([15000.0])])
    found = lipot.certify(model, np.array([[100.0]]))
    # Five times 13,100 has no float16.
    assert found.radius[0] < 13_000.0
    changed = np.linspace(0.0, 0.99, 50)[:, None] * found.radius[0] + 100.0
    assert np.all(to_numpy(model(changed.astype("float16"))) > 0.0)


def test_a_steep_elu_rounds_as_steeply():
    alpha, point = 1000.0, np.float32(-1e-6)
    model = functional(lambda x: keras.layers.Dense(1)(keras.layers.ELU(alpha)(x)), (1,))
    value = np.float32(alpha * np.expm1(-1e-6))
    for share in np.linspace(-1.0, 1.0, 9):
        model.layers[-1].set_weights([np.ones((1, 1)), np.array([share * 6e-5 - value])])
        found = lipot.certify(model, np.array([[point]]))
        near = point + np.linspace(-0.99, 0.99, 401)[:, None] * found.radius[0]
        above = to_numpy(model(near.astype("float32")))[:, 0] > 0.0
        assert np.all(above == found.predictions[0]) or found.radius[0] == 0.0


@pytest.mark.parametrize(
    "layer, built, called",
    [
        (lambda: keras.layers.Normalization(mean=np.zeros(5), variance=np.ones(5)), (5,), (1,)),
        (lambda: keras.layers.Normalization(mean=np.zeros(4), variance=np.ones(4)), (3, 4), (4,)),
        (lambda: keras.layers.Rescaling(np.ones(5)), (5,), (1,)),
        (lambda: layers.PositionEmbedding(), (5, 2), (1, 2)),
        (lambda: layers.PositionEmbedding(), (5, 2), (2,)),
        (lambda: layers.BatchCentering(), (5,), (1,)),
        (lambda: layers.LayerCentering(), (5,), (1,)),
        (lambda: layers.LayerCentering(center=False), (2,), (100,)),
        (lambda: keras.layers.PReLU(), (4,), (1,)),
        (lambda: layers.PReLUlip(), (4,), (1,)),
        (lambda: layers.Householder(), (4,), (2,)),
        (lambda: keras.layers.EinsumDense("abc,cd->abd", (None, 5)), (3, 4), (3, 1)),
        (lambda: keras.layers.EinsumDense("abc,cd->abd", (None, 5)), (3, 4), (3, None)),
        (lambda: keras.layers.EinsumDense("abc,cd->abd", (None, 5)), (3, 1), (3, 4)),
    ],
)
@pytest.mark.parametrize("norm", [2, "inf"])
def test_parameters_that_would_repeat_an_input_are_refused(layer, built, called, norm):
    layer = layer()
    layer(keras.Input(built))
    with pytest.raises(ValueError, match="repeat|incompatible|expected"):
        lipot.lipschitz_constant(functional(layer, called), norm=norm)


def test_inputs_that_are_rounded_to_integers_are_refused():
    model = functional(keras.layers.Dense(1, **DENSE), (1,), "int32")
    with pytest.raises(ValueError, match="floating point"):
        lipot.lipschitz_constant(model)


def test_scales_for_channels_first_are_refused():
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        model = functional(keras.layers.Rescaling(np.ones(3)), (1, 4, 3))
        with pytest.raises(ValueError, match="channels first"):
            lipot.lipschitz_constant(model)
    finally:
        keras.config.set_image_data_format(before)


def test_a_softmax_over_the_batch_is_refused():
    model = functional(
        lambda x: ops.reshape(keras.layers.Activation("softmax")(x[:, 0]), (-1, 1)), (1,)
    )
    with pytest.raises(ValueError, match="joins its samples"):
        lipot.lipschitz_constant(model)


def test_a_layer_that_does_not_cast_is_refused():
    sigmoid = keras.layers.Activation("sigmoid", dtype="float64", autocast=False)
    with pytest.raises(ValueError, match="autocast"):
        lipot.lipschitz_constant(functional(sigmoid, (1,)))


def _replaced(part, name, model):
    setattr(part, name, lambda *_, **__: None)
    return model


def _replaced_in(layer, name):
    return lambda: _replaced(layer, name, functional(lambda x: layer([x, x])))


def _replaced_around(layer):
    return lambda: _replaced(layer, "call", functional(layer))


def _replaced_model():
    model = functional(keras.layers.Identity())
    return _replaced(model, "call", model)


class _Tenfold(keras.Model):
    def _standardize_inputs(self, inputs):
        return [10.0 * tensor for tensor in super()._standardize_inputs(inputs)]


def _overridden():
    inputs = keras.Input((4,))
    return _Tenfold(inputs, keras.layers.Identity()(inputs))


@pytest.mark.parametrize(
    "make",
    [
        _replaced_in(keras.layers.Add(), "call"),
        _replaced_in(keras.layers.Concatenate(), "_merge_function"),
        _replaced_in(keras.layers.Maximum(), "call"),
        _replaced_around(keras.Sequential([keras.Input((4,)), keras.layers.Identity()])),
        _replaced_around(layers.TransportResidual(keras.layers.Identity())),
        _replaced_around(layers.LipschitzResidual(keras.layers.Identity())),
        _replaced_model,
        _overridden,
    ],
    ids=["Add", "Concatenate", "Maximum", "inner model", "transport", "residual", "model", "class"],
)
def test_what_does_not_compute_as_its_class_is_refused(make):
    with pytest.raises(ValueError, match="replaced on the object|Functional model"):
        lipot.lipschitz_constant(make())


class _Trained(keras.Model):
    def train_step(self, *args, **kwargs):
        return super().train_step(*args, **kwargs)


def test_what_trains_otherwise_is_certified():
    inputs = keras.Input((4,))
    model = _Trained(inputs, keras.layers.Identity()(inputs))
    model.compile("sgd", "mse")
    assert lipot.lipschitz_constant(model) == pytest.approx(1.0)


class _TrainedOtherwise(lipot.models.AdversarialModel):
    def train_step(self, *args, **kwargs):
        return super().train_step(*args, **kwargs)


class _AnsweringOtherwise(lipot.models.AdversarialModel):
    def call(self, inputs, training=False):
        return 10.0 * super().call(inputs, training=training)


@pytest.mark.parametrize("kind, certified", [(_TrainedOtherwise, 1), (_AnsweringOtherwise, 0)])
def test_an_adversarial_model_is_its_classifier_as_long_as_it_calls_it(kind, certified):
    model = kind(functional(keras.layers.Identity()), None, lipot.losses.TRADES())
    if certified:
        assert lipot.lipschitz_constant(model) == pytest.approx(1.0)
    else:
        with pytest.raises(ValueError, match="Functional"):
            lipot.lipschitz_constant(model)


def test_divisors_that_may_count_as_zero_are_refused():
    model = functional(keras.layers.BatchNormalization(epsilon=1e-39), (1,))
    model.layers[-1].moving_variance.assign([0.0])
    with pytest.raises(ValueError, match="may count as zero"):
        lipot.lipschitz_constant(model)


@pytest.mark.parametrize("policy", ["float16", "mixed_float16", "mixed_bfloat16"])
def test_an_otad_compares_its_points_in_float32_under_every_policy(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        backbone = keras.Sequential(
            [keras.Input((1,), dtype="float32"), keras.layers.Rescaling(1.0, dtype="float32")]
        )
        head = keras.layers.Dense(1, dtype="float32")
        head.build((None, 1))
        head.set_weights([np.ones((1, 1)), np.array([-1000.2])])
        model = lipot.OTAD(backbone, head, neighbors=4, smoothness=1.0, convexity=0.0)
        stored = [[990.0], [995.0], [1000.5], [1005.0], [2000.0]]
        model.adapt(np.array(stored, "float32"))
        x = np.array([[1000.1]], "float32")
        found = lipot.certify(model, x)
        near = x + np.linspace(-0.99, 0.99, 41)[:, None].astype("float32") * found.radius[0]
        above = model.predict(near, verbose=0)[:, 0] > 0.0
        assert np.all(above == found.predictions[0])
    finally:
        keras.config.set_dtype_policy(before)


def _small_otad(**settings):
    backbone = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(4.0)])
    head = keras.layers.Dense(1)
    head.build((None, 1))
    head.set_weights([np.ones((1, 1)), np.array([-1.0])])
    points = np.array([[-1.0], [0.0], [1.0], [30.0]], "float32")
    return lipot.OTAD(backbone, head, **settings).adapt(points)


def test_an_otad_with_another_number_of_neighbors_is_another_one():
    x = np.array([[0.6]], "float32")
    model, fresh = (_small_otad(neighbors=k, smoothness=8.0) for k in (1, 3))
    lipot.certify(model, x)
    model.predict(x, verbose=0)
    model.neighbors = 3
    assert lipot.certify(model, x).radius[0] == lipot.certify(fresh, x).radius[0]
    np.testing.assert_array_equal(model.predict(x, verbose=0), fresh.predict(x, verbose=0))


def test_the_smoothness_of_an_otad_is_fixed_once_it_answers():
    model = _small_otad(neighbors=3, smoothness=8.0)
    with pytest.raises(ValueError, match="fixed once the layer is built"):
        model.interpolation.smoothness = 4.0


@pytest.mark.parametrize(
    "mix",
    [
        keras.layers.GlobalAveragePooling1D(),
        keras.layers.GlobalMaxPooling1D(),
        lambda x: keras.layers.Softmax(axis=1)(x)[:, 0],
        lambda x: x[:, ::-1][:, 0],
    ],
    ids=["mean", "maximum", "softmax", "reversed"],
)
@pytest.mark.parametrize("inner", [False, True])
def test_a_reshape_that_moves_the_batch_is_refused(mix, inner):
    def moved(x):
        return mix(ops.reshape(x, (1, -1, 4)))

    part = functional(moved) if inner else moved
    model = functional(lambda x: keras.layers.Dense(2)(part(x)))
    with pytest.raises(ValueError, match="joins or drops samples"):
        lipot.lipschitz_constant(model)
    with pytest.raises(ValueError, match="joins or drops samples"):
        lipot.certify(model, np.ones((4, 4), "float32"))


def test_a_reshape_that_regroups_a_fixed_batch_is_refused():
    inputs = keras.Input(batch_shape=(6, 4))
    model = keras.Model(inputs, keras.layers.Dense(2)(ops.reshape(inputs, (3, 8))))
    with pytest.raises(ValueError, match="cannot be certified"):
        lipot.certify(model, np.ones((6, 4), "float32"), batch_size=6)


def test_a_replaced_operation_is_refused():
    inputs = keras.Input((4,))
    outputs = inputs + inputs
    operation = keras_graph.producer(outputs).operation
    operation.call = lambda first, second: 100.0 * (first + second)
    with pytest.raises(ValueError, match="replaced on the object"):
        lipot.lipschitz_constant(keras.Model(inputs, outputs))


@pytest.mark.parametrize("part, name", [("interpolation", "call"), ("memory", "take")])
def test_a_replaced_part_of_an_otad_is_refused(part, name):
    model = _small_otad(neighbors=3, smoothness=8.0)
    setattr(getattr(model, part), name, lambda *inputs: inputs[0])
    with pytest.raises(ValueError, match="replaced on the object"):
        lipot.certify(model, np.array([[0.1]], "float32"))


def test_negative_variances_are_refused():
    model = functional(keras.layers.BatchNormalization(), (1,))
    model.layers[-1].moving_variance.assign([-1e-4])
    with pytest.raises(ValueError, match="not negative"):
        lipot.lipschitz_constant(model)
