"""lipot.Sequential and lipot.Model: one Lipschitz constant for all, condensing, exporting."""

import warnings

import keras
import numpy as np
import pytest

import lipot
from lipot import layers
from lipot.backend.keras_graph import all_layers
from lipot.layers.base import LipschitzLayer
from tests.helpers import to_numpy


def body(k_coef_lip=1.0, name=None):
    return lipot.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.SpectralConv2D(4, 3),
            layers.GroupSort2(),
            keras.layers.Flatten(),
            layers.SpectralDense(3),
        ],
        k_coef_lip=k_coef_lip,
        name=name,
    )


def test_constant_is_spread_and_never_exceeded():
    model = body(k_coef_lip=8.0)
    assert [layer.k_coef_lip for layer in model.layers if hasattr(layer, "k_coef_lip")] == (
        pytest.approx([2.0, 2.0, 2.0])
    )
    assert lipot.lipschitz_constant(model) <= 8.0 * (1 + 1e-5)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 8, 8, 1)).astype("float32")
    h = 1e-2 * rng.normal(size=x.shape).astype("float32")
    moved = np.linalg.norm(model.predict(x + h, verbose=0) - model.predict(x, verbose=0), axis=1)
    assert np.all(moved <= 8.0 * np.linalg.norm(h.reshape(50, -1), axis=1))


def test_saving_keeps_the_constant_and_the_outputs(tmp_path):
    model = body(k_coef_lip=5.0)
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype("float32")
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", safe_mode=True)
    assert type(loaded) is lipot.Sequential and loaded.k_coef_lip == 5.0
    np.testing.assert_allclose(loaded.predict(x, verbose=0), expected, atol=1e-6)


def test_condense_and_export_keep_the_outputs():
    model = body(k_coef_lip=2.0)
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(32, 8, 8, 1)).astype("float32")
    model.fit(x, np.ones((32, 3)), epochs=2, verbose=0)
    expected = model.predict(x, verbose=0)
    exported = model.vanilla_export()
    assert [type(layer).__module__.split(".")[0] for layer in exported.layers] == [
        "keras",
        "lipot",
        "keras",
        "keras",
    ]
    np.testing.assert_allclose(exported.predict(x, verbose=0), expected, atol=1e-6)
    model.condense()
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-5)


def test_functional_model_exports(tmp_path):
    inputs = keras.Input((6,))
    left = layers.SpectralDense(4)(inputs)
    outputs = keras.layers.Add()([left, layers.SpectralDense(4)(inputs)])
    model = lipot.Model(inputs, outputs)
    x = np.random.default_rng(0).normal(size=(3, 6)).astype("float32")
    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(model.vanilla_export().predict(x, verbose=0), expected, atol=1e-6)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", safe_mode=True)
    clone = keras.models.clone_model(model)
    assert type(loaded) is type(clone) is type(model) and isinstance(model, lipot.Model)
    np.testing.assert_allclose(loaded.predict(x, verbose=0), expected, atol=1e-6)


class OwnCall(lipot.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.SpectralDense(3)

    def call(self, inputs, training=None):
        return self.dense(inputs, training=training)


class Between(lipot.Model):
    """A class that one with a graph inherits from."""


class OwnGraph(Between):
    def __init__(self, units):
        inputs = keras.Input((4,))
        super().__init__(inputs, outputs=layers.SpectralDense(units)(inputs), name="own")


def test_a_functional_model_leaves_subclasses_as_they_are():
    inputs = keras.Input((4,))
    assert lipot.Model(inputs, layers.SpectralDense(2)(inputs)).layers
    for _ in range(2):
        with_graph, own = OwnGraph(2), OwnCall()
        assert with_graph.vanilla_export().layers and isinstance(with_graph, Between)
        own(np.ones((1, 4), "float32"))
        own.condense()
        assert [layer.name for layer in own.layers] == [own.dense.name]
    assert lipot.lipschitz_constant(with_graph) <= 1.00001


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), "two"])
def test_bad_constant_is_named(value):
    with pytest.raises(ValueError, match="`k_coef_lip`.*Expected.*Received"):
        lipot.Sequential([keras.Input((2,)), layers.SpectralDense(2)], k_coef_lip=value)


def test_a_layer_that_comes_or_goes_later_is_told_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        given = [keras.Input((6,)), layers.SpectralDense(8), layers.FrobeniusDense(3)]
        model = lipot.Sequential(given, k_coef_lip=4.0)
        lipot.Sequential([keras.Input((6,))]).add(layers.SpectralDense(8))
        lipot.Sequential.from_config(model.get_config())
    with pytest.warns(UserWarning, match="was spread over the layers"):
        model.pop()
    with pytest.warns(UserWarning, match="was spread over the layers"):
        model.add(layers.SpectralDense(5))


class Hundredfold(keras.layers.ReLU):
    def call(self, inputs):
        return 100.0 * super().call(inputs)


PROMISING_NOTHING = {
    "l-infinity distances": lambda: layers.LInfDistanceDense(16),
    "a residual with a free branch": lambda: layers.LipschitzResidual(keras.layers.Dense(6)),
    "free slopes": lambda: layers.PReLUlip(alpha_constraint=None),
    "an average in place of the norm": lambda: layers.SpectralConv2D(4, 3, normalization="average"),
    "a steep activation": lambda: layers.SpectralDense(6, activation="selu"),
    "a subclass with another call": Hundredfold,
    "another call on the object": lambda: replaced_on_the_object(),
    "a free kernel": lambda: layers.PadConv2D(4, 3),
}


def replaced_on_the_object():
    layer = keras.layers.ReLU()
    layer.call = lambda inputs: 100.0 * inputs
    return layer


@pytest.mark.parametrize("name", PROMISING_NOTHING)
def test_what_promises_no_constant_brings_a_warning(name):
    with pytest.warns(UserWarning, match="not known to be 1-Lipschitz"):
        lipot.Sequential([PROMISING_NOTHING[name]()])


def test_what_promises_one_brings_none():
    branch = [layers.SpectralDense(6), keras.layers.ReLU()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lipot.Sequential(
            [
                layers.LipschitzResidual(branch),
                layers.SpectralDense(6, activation=layers.GroupSort2()),
                layers.FrobeniusDense(6, activation="tanh"),
                layers.PReLUlip(),
                keras.layers.Activation("softplus"),
                keras.layers.MaxPooling2D(2),
            ]
        )


def test_layers_inside_other_layers_are_condensed():
    inner = layers.SpectralDense(3, orthogonalizer="cholesky")
    model = lipot.Sequential([keras.Input((2, 4)), keras.layers.TimeDistributed(inner)])
    inner.kernel.assign(2.0 * inner.kernel)
    outputs = to_numpy(model(np.ones((1, 2, 4))))
    model.condense()
    values = np.linalg.svd(to_numpy(inner.kernel), compute_uv=False)
    np.testing.assert_allclose(values, 1.0, atol=1e-4)
    np.testing.assert_allclose(to_numpy(model(np.ones((1, 2, 4)))), outputs, atol=1e-5)


def test_every_layer_that_says_its_export_is_exported():
    model = lipot.Sequential(
        [keras.Input((4,)), layers.SDPResidualDense(6), layers.SpectralDense(3)]
    )
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    exported = model.vanilla_export()
    assert not [part for part in all_layers(exported) if isinstance(part, LipschitzLayer)]
    np.testing.assert_allclose(to_numpy(exported(x)), to_numpy(model(x)), atol=1e-5)
