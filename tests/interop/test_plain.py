"""Export to plain Keras: same outputs, and a file that needs no lipot."""

import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from keras.ops import convert_to_numpy as array

import lipot
from lipot import layers
from tests.helpers import convolves_channels_first
from tests.public_classes import make, public_classes


def sample(shape, rows=5):
    return np.random.default_rng(0).normal(size=(rows, *shape)).astype("float32")


def check_export(model, compiled=False):
    """Compares outputs, as called or, which takes seconds, as compiled by `predict`."""
    plain = lipot.to_keras(model)
    x = [sample(tensor.shape[1:]) for tensor in model.inputs]

    def outputs(network):
        return network.predict(x, verbose=0) if compiled else array(network(x))

    expected = outputs(model)
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(outputs(plain), expected, atol=1e-6 * scale)
    assert "lipot" not in plain.to_json()
    return plain


# Of the layers that read no images.
SHAPES = {
    "ConvexInterpolation": [(4,), (3, 4), (3, 4)],
    "OrthogonalConv1D": (6, 8),
    "SelfAttention": (6, 8),
}
# It solves a problem in a loop over tensors, which no graph of Keras layers holds.
REFUSED = {"ConvexInterpolation"}


@pytest.mark.parametrize("name", public_classes("layers", keras.layers.Layer))
def test_each_layer(name):
    shape = SHAPES.get(name, (4, 6, 8))
    several = isinstance(shape, list)
    inputs = [keras.Input(one) for one in shape] if several else keras.Input(shape)
    model = keras.Model(inputs, make("layers", name)(inputs))
    if name not in REFUSED:
        plain = check_export(model)
        x = [sample(tensor.shape[1:]) for tensor in model.inputs]
        before = array(plain(x))
        for weight in model.weights:
            weight.assign(np.zeros(weight.shape, weight.dtype))
        # It is a copy: what becomes of the model's weights does not change it.
        np.testing.assert_array_equal(array(plain(x)), before)
        return
    with pytest.raises(ValueError, match=f"{name}.*cannot be written out in plain Keras"):
        lipot.to_keras(model)


@pytest.mark.parametrize("name", ["GroupSort2", "Householder", "SpectralConv2D", "PReLUlip"])
def test_each_layer_in_half_precision(name):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = keras.Sequential([keras.Input((4, 6, 8)), make("layers", name)])
    finally:
        keras.config.set_dtype_policy("float32")
    plain, x = lipot.to_keras(model), sample((4, 6, 8))
    assert plain.outputs[0].dtype == model.outputs[0].dtype
    np.testing.assert_allclose(
        array(plain(x)).astype("float32"), array(model(x)).astype("float32"), atol=4e-3
    )


@pytest.mark.parametrize("padding", ["same", "valid", "circular", "reflect", "symmetric"])
def test_each_padding(padding):
    conv = layers.SpectralConv2D(4, 3, padding=padding, activation=layers.GroupSort2())
    check_export(keras.Sequential([keras.Input((6, 6, 2)), conv]))


FIRST = {"filters": 4, "kernel_size": 3, "data_format": "channels_first"}
BIASED = {
    "BatchCentering": {"axis": 1},
    "LayerCentering": {"axis": 1},
    "OrthogonalConv1D": {**FIRST, "activation": "tanh"},
    "FrobeniusConv2D": FIRST,
    "PadConv2D": {**FIRST, "padding": "circular"},
    "SpectralConv2DTranspose": {**FIRST, "activation": layers.GroupSort2("channels_first")},
    "OrthogonalConv2DTranspose": {**FIRST, "padding": "circular"},
    "SDPResidualConv2D": FIRST,
}


@pytest.mark.skipif(not convolves_channels_first(), reason="There are no convolutions to export.")
@pytest.mark.parametrize("name", BIASED)
def test_biases_of_channels_that_are_as_many_as_the_columns(name):
    # Stock layers and sums of Keras on TensorFlow add them along the columns.
    shape = (4, 4) if name.endswith("1D") else (4, 5, 4)
    model = keras.Sequential([keras.Input(shape), getattr(layers, name)(**BIASED[name])])
    for weight in model.trainable_weights:
        weight.assign(sample(weight.shape, 1)[0])
    check_export(model)


@keras.saving.register_keras_serializable(package="test_plain")
class Shift(keras.layers.Layer):
    def build(self, input_shape):
        self.shift = self.add_weight(shape=(input_shape[1], 1, 1), initializer="uniform")

    def call(self, inputs):
        return inputs + self.shift


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="Others broadcast.")
def test_a_sum_that_keras_would_take_for_that_of_a_bias_is_refused():
    check_export(keras.Sequential([keras.Input((3, 4, 5)), Shift()]))
    with pytest.raises(ValueError, match="takes for a bias of another axis"):
        lipot.to_keras(keras.Sequential([keras.Input((3, 4, 3)), Shift()]))


def branched_model():
    """Nested, shared and stock layers, a layer as activation, and an operation on tensors."""
    inputs = keras.Input((8, 8, 2))
    x = layers.SpectralConv2D(8, 3, padding="circular", activation=layers.GroupSort2())(inputs)
    x = layers.ScaledL2NormPooling2D(2)(x)
    x = keras.layers.Conv2D(2, 3, kernel_constraint=lipot.constraints.SpectralConstraint())(x)
    x = keras.layers.Flatten()(x)
    shared = layers.SpectralDense(8, activation=layers.FullSort())
    x = keras.layers.Add()([shared(x), shared(keras.ops.flip(x, axis=-1)), 0.5 * x])
    head = [layers.SpectralDense(6), layers.GroupSort2(), layers.FrobeniusDense(3)]
    return keras.Model(inputs, lipot.Sequential([keras.Input((8,)), *head], name="head")(x))


def test_branched_nested_and_shared():
    model = branched_model()
    plain = check_export(model, compiled=True)
    # The shared layer stays one layer: each kernel and bias is exported once.
    assert len(plain.weights) == 2 * 5


def test_the_weights_after_training_are_exported():
    model = lipot.Sequential(
        [keras.Input((6,)), layers.SpectralDense(16), layers.GroupSort2(), layers.SpectralDense(2)]
    )
    model.compile("adam", "mse")
    model.fit(sample((6,), 64), sample((2,), 64), epochs=2, verbose=0)
    check_export(model)


def test_a_copy_outlives_the_training_of_its_model():
    # JAX frees what a training step may overwrite, and PyTorch overwrites it.
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(4), layers.LInfDistanceDense(2), layers.PReLUlip()]
    )
    model.compile("sgd", "mse")
    plain, x = lipot.to_keras(model), sample((6,), 8)
    before = array(plain(x))
    model.fit(x, sample((2,), 8), verbose=0)
    model.predict(x, verbose=0)
    np.testing.assert_array_equal(array(plain(x)), before)


def test_a_stock_model_is_copied():
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(5, "relu"), keras.layers.BatchNormalization()]
    )
    plain = check_export(model)
    plain.layers[1].kernel.assign(0.0 * plain.layers[1].kernel)
    assert np.abs(array(model.layers[0].kernel)).max() > 0.0


def test_the_file_loads_where_lipot_cannot_be_imported(tmp_path):
    model = branched_model()
    x = sample((8, 8, 2))
    lipot.to_keras(model).save(tmp_path / "plain.keras")
    np.save(tmp_path / "x.npy", x)
    program = """
        import sys
        import keras, numpy as np
        sys.modules["lipot"] = None
        model = keras.saving.load_model(sys.argv[1] + "/plain.keras", safe_mode=True)
        y = model(np.load(sys.argv[1] + "/x.npy"))
        np.save(sys.argv[1] + "/y.npy", keras.ops.convert_to_numpy(y))
    """
    command = [sys.executable, "-I", "-c", textwrap.dedent(program), str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), array(model(x)), atol=1e-6)


def test_names_of_a_loaded_file_do_not_collide():
    # In a new process the names of operations count from the start again.
    plain = lipot.to_keras(
        keras.Sequential([keras.Input((4,)), layers.GroupSort2(name="sort"), layers.FullSort()])
    )
    config = plain.get_config()
    keras.backend.clear_session()
    loaded = keras.Model.from_config(config)
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.GroupSort2()(loaded(keras.layers.Reshape((4,))(inputs))))
    check_export(model)


class Doubling(keras.layers.Layer):
    """A layer from elsewhere whose `call` is made of Keras operations and a layer."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = layers.SpectralDense(4)

    def call(self, inputs):
        return 2.0 * inputs + self.inner(inputs)


def test_a_layer_that_holds_layers():
    check_export(keras.Sequential([keras.Input((4,)), Doubling()]))


def test_a_layer_that_adds_a_loss():
    branch = keras.Sequential([layers.SpectralDense(4), layers.GroupSort2()])
    block = layers.TransportResidual(branch, weight=0.5)
    check_export(keras.Sequential([keras.Input((4,)), block]))
    assert branch.name.startswith("sequential")
    block(sample((4,)))
    assert float(block.losses[0]) > 0.0


class Flattening(keras.layers.Layer):
    """A layer that asks for the size of the batch, which nobody knows before data come."""

    def call(self, inputs):
        return keras.ops.reshape(inputs, (keras.ops.shape(inputs)[0], 2, 3))


class Splitting(Flattening):
    """The same with a second size left open."""

    def call(self, inputs):
        return keras.ops.reshape(inputs, (keras.ops.shape(inputs)[0], 2, -1))


def test_the_size_of_the_batch_stays_open():
    inner = keras.Sequential([keras.Input((6,)), Flattening()])
    check_export(keras.Sequential([keras.Input((6,)), inner, layers.FullSort()]))
    with pytest.raises(ValueError, match="a reshaping to"):
        lipot.to_keras(keras.Sequential([keras.Input((6,)), Splitting()]))


class Opaque(keras.layers.Layer):
    """A layer that leaves Keras in its `call`."""

    def call(self, inputs):
        return keras.ops.convert_to_tensor(np.sort(inputs))

    def compute_output_shape(self, input_shape):
        return input_shape


class Declared(Opaque):
    """The same with an export of its own."""

    def vanilla_export(self):
        inputs = keras.Input((4,))
        return keras.Model(inputs, keras.ops.sort(inputs))


def test_a_layer_may_say_how_it_is_exported():
    model = keras.Sequential([keras.Input((4,)), Declared()])
    plain, x = lipot.to_keras(model), sample((4,))
    np.testing.assert_allclose(array(plain(x)), np.sort(x), atol=1e-6)


def test_what_cannot_be_exported_is_named():
    opaque = keras.Sequential([keras.Input((4,)), Opaque(name="opaque")])
    with pytest.raises(ValueError, match="Layer 'opaque'.*vanilla_export"):
        lipot.to_keras(opaque)
    wrapped = keras.layers.TimeDistributed(layers.SpectralDense(3), name="wrapper")
    with pytest.raises(ValueError, match="Layer 'wrapper'.*lipot>SpectralDense"):
        lipot.to_keras(keras.Sequential([keras.Input((5, 4)), wrapped]))
    code = keras.layers.Lambda(lambda x: 2.0 * x, name="code")
    with pytest.raises(ValueError, match="Layer 'code'"):
        lipot.to_keras(keras.Sequential([keras.Input((4,)), code]))


def test_the_model_must_be_a_built_graph():
    with pytest.raises(ValueError, match="`model`.*a built model"):
        lipot.to_keras(keras.Sequential([layers.SpectralDense(3)]))
    with pytest.raises(ValueError, match="`model`"):
        lipot.to_keras(layers.SpectralDense(3))
    classifier = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    robust = lipot.AdversarialModel(classifier, None, [lipot.losses.AdversarialCrossentropy()])
    with pytest.raises(ValueError, match="functional Keras model, such as its `classifier`"):
        lipot.to_keras(robust)


def _adapted():
    layer = keras.layers.Normalization()
    layer.adapt(np.array([[1.0, -3.0], [5.0, 30.0]]))
    return layer


def _with_lora():
    layer = keras.layers.Dense(2)
    layer.build((None, 2))
    layer.enable_lora(2, lora_alpha=1)
    layer.lora_kernel_b.assign(np.ones((2, 2)))
    return layer


@keras.saving.register_keras_serializable("test_plain")
class Tenfold(layers.SpectralDense):
    def call(self, inputs, training=False):
        return 10.0 * super().call(inputs, training=training)


def _replaced(layer):
    layer.build((None, 2))
    original = layer.call
    layer.call = lambda inputs, training=False: 10.0 * original(inputs, training=training)
    return layer


@pytest.mark.parametrize(
    "make",
    [
        _adapted,
        lambda: keras.layers.TimeDistributed(_adapted()),
        _with_lora,
        lambda: Tenfold(2),
        lambda: _replaced(layers.SpectralDense(2)),
        lambda: _replaced(keras.layers.Dense(2)),
    ],
    ids=["adapted", "adapted inside", "lora", "subclass", "replaced", "replaced stock"],
)
def test_a_copy_computes_what_the_layer_does_and_not_what_its_class_says(make):
    layer = make()
    shape = (3, 2) if isinstance(layer, keras.layers.TimeDistributed) else (2,)
    model = keras.Sequential([keras.Input(shape), layer, keras.layers.Flatten()])
    check_export(model)


def test_the_copies_of_lipots_own_models_compute_the_same():
    inner = keras.Sequential([keras.Input((2,)), layers.SpectralDense(2)])
    inputs = keras.Input((2,))
    hidden = _with_lora()(inner(_adapted()(inputs)))
    outputs = keras.layers.Lambda(lambda x: 2.0 * x)(hidden + inputs)
    model = lipot.Model(inputs, outputs)
    model.condense()
    plain, x = model.vanilla_export(), sample((2,))
    np.testing.assert_allclose(array(plain(x)), array(model(x)), atol=1e-5)
    nested = next(layer for layer in plain.layers if isinstance(layer, keras.Sequential))
    assert type(nested.layers[-1]) is keras.layers.Dense


def test_a_stored_copy_with_patches_answers(tmp_path):
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.PatchEmbedding(2, 3)])
    lipot.to_keras(model).save(tmp_path / "plain.keras")
    loaded, x = keras.saving.load_model(tmp_path / "plain.keras"), sample((4, 4, 1))
    np.testing.assert_allclose(array(loaded(x)), array(model(x)), atol=1e-6)


def test_a_subclass_that_calls_otherwise_is_kept_by_vanilla_export():
    model = lipot.Sequential([keras.Input((2,)), Tenfold(2), layers.SpectralDense(2)])
    plain, x = model.vanilla_export(), sample((2,))
    np.testing.assert_allclose(array(plain(x)), array(model(x)), atol=1e-5)
    assert [type(layer) for layer in plain.layers] == [Tenfold, keras.layers.Dense]


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="Others export more.")
def test_pytorch_writes_files_of_keras_alone(tmp_path):
    model = keras.Sequential([keras.Input((4,)), layers.SpectralDense(4), layers.GroupSort2()])
    for name in ("folder", "a.onnx", "a.tflite"):
        with pytest.raises(ValueError, match=r"ends in \.keras on PyTorch"):
            lipot.interop.export(model, tmp_path / name)
    assert lipot.interop.export(model, tmp_path / "a.keras").difference < 1e-6
