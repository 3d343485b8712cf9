"""A frozen layer acts as at inference while others train, as `BatchNormalization` does."""

import keras
import numpy as np
import pytest

from lipot import layers
from lipot.backend.keras_graph import takes_training
from tests.helpers import to_numpy
from tests.public_classes import make, public_classes

RNG = np.random.default_rng(0)
# It has no weights, and takes neighbors beside its queries.
LAYERS = sorted(set(public_classes("layers", keras.layers.Layer)) - {"ConvexInterpolation"})
TOKENS = {"OrthogonalConv1D", "PositionEmbedding", "SelfAttention"}


def with_foreign_weights(layer, inputs):
    """Builds a layer and gives it weights that its own training would not have led to."""
    layer(inputs)
    layer.set_weights([w + RNG.normal(size=w.shape).astype(w.dtype) for w in layer.get_weights()])
    return layer


@pytest.mark.parametrize("name", LAYERS)
def test_a_frozen_layer_acts_as_at_inference(name):
    x = RNG.normal(size=(4, 6, 8) if name in TOKENS else (4, 8, 8, 8)).astype("float32")
    layer = with_foreign_weights(make("layers", name), x)
    layer.trainable = False
    expected, before = to_numpy(layer(x)), layer.get_weights()
    arguments = {"training": True} if takes_training(layer) else {}
    np.testing.assert_allclose(to_numpy(layer(x, **arguments)), expected, rtol=1e-5, atol=1e-5)
    for now, then in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_that_is_frozen_before_it_is_built_stays_so_in_its_model(name):
    layer = make("layers", name)
    layer.trainable = False
    inputs = keras.Input((6, 8) if name in TOKENS else (8, 8, 8))
    assert keras.Model(inputs, layer(inputs)).trainable_variables == []


def test_fit_with_a_frozen_layer_reports_the_loss_of_evaluate():
    x, y = RNG.normal(size=(16, 6)).astype("float32"), RNG.normal(size=(16, 3)).astype("float32")
    frozen = with_foreign_weights(layers.SpectralDense(3), x)
    model = keras.Sequential([keras.Input((6,)), frozen, keras.layers.Dense(3)])
    frozen.trainable = False
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before, expected = frozen.get_weights(), model.evaluate(x, y, verbose=0)
    history = model.fit(x, y, batch_size=16, verbose=0).history
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)
    for now, then in zip(frozen.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_loss_reads_the_kernel_that_its_frozen_head_applies():
    head = with_foreign_weights(layers.SpectralDense(3), np.ones((1, 6), "float32"))
    head.trainable = False
    kernel = to_numpy(head.effective_kernel(training=True))
    np.testing.assert_allclose(kernel, to_numpy(head.inference_kernel))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="A tape of TensorFlow.")
def test_only_a_training_call_gives_the_kernel_a_gradient():
    tf = pytest.importorskip("tensorflow")

    layer = with_foreign_weights(layers.SpectralDense(3), np.ones((1, 6), "float32"))
    for training in (True, False):
        with tf.GradientTape() as tape:
            value = keras.ops.sum(layer(np.ones((2, 6), "float32"), training=training))
        assert (tape.gradient(value, layer.kernel.value) is not None) == training
