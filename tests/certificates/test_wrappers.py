"""Layers of Keras around others and functions of Keras in a graph: followed, or refused by name."""

import keras
import numpy as np
import pytest

import lipot
from lipot.layers.tokens import PatchEmbedding
from tests.helpers import functional, to_numpy


@pytest.mark.parametrize("norm", [2, "inf"])
def test_spectral_normalization_has_the_constant_of_the_kernel_that_it_left(norm):
    dense = keras.layers.Dense(3, use_bias=False)
    model = functional(keras.layers.SpectralNormalization(dense))
    # Its power iterations bring the norm near 1 while it trains, and change nothing afterwards.
    for _ in range(20):
        model(np.ones((2, 4)), training=True)
    kernel = to_numpy(dense.kernel).astype("float64")
    expected = np.linalg.norm(kernel, 2) if norm == 2 else np.abs(kernel).sum(axis=0).max()
    assert lipot.lipschitz_constant(model, norm=norm) == pytest.approx(expected, rel=1e-6)
    assert lipot.lipschitz_constant(model, norm=norm) >= expected
    x = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    certificate = lipot.certify(model, x, norm=norm)
    assert np.all(certificate.radius > 0.0)
    top = kernel[:, certificate.predictions].T
    for other in range(3):
        step = kernel[:, other] - top
        step = (
            np.sign(step)
            if norm == "inf"
            else step / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-9)
        )
        moved = (x + 0.9999 * certificate.radius[:, None] * step).astype("float32")
        found = model.predict(moved, verbose=0).argmax(axis=1)
        np.testing.assert_array_equal(found, certificate.predictions)


def test_what_spectral_normalization_wraps_is_looked_at():
    wrap = keras.layers.SpectralNormalization
    with pytest.raises(ValueError, match="No Lipschitz bound is known for the activation"):
        lipot.lipschitz_constant(functional(wrap(keras.layers.Dense(3, "exponential"))))
    # Its vectors are of the type of the kernel.
    with pytest.raises(ValueError, match="does not cast its weights"):
        lipot.lipschitz_constant(functional(wrap(keras.layers.Dense(3, dtype="float16"))))
    coarse = wrap(keras.layers.Dense(3, dtype="float16"), dtype="float16")
    fine = wrap(keras.layers.Dense(3))
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    lost = [lipot.certify(functional(wrapped), x).rounding for wrapped in (coarse, fine)]
    assert np.all(lost[0] > 100 * lost[1])


@pytest.mark.parametrize(
    ("settings", "constant"),
    [({}, 1.0), ({"negative_slope": 3.0}, 3.0), ({"max_value": 6.0}, 1.0)],
)
def test_the_relu_of_keras_activations_has_the_constant_of_its_slopes(settings, constant):
    model = functional(lambda x: keras.activations.relu(x, **settings))
    assert lipot.lipschitz_constant(model) == pytest.approx(constant)


def test_a_relu_with_a_threshold_jumps():
    model = functional(lambda x: keras.activations.relu(x, threshold=1.0))
    with pytest.raises(ValueError, match="`ReLU`.*jumps at its threshold"):
        lipot.lipschitz_constant(model)


def test_attention_and_masks_say_why_they_are_refused():
    attention = keras.layers.MultiHeadAttention(1, 2)
    tokens = keras.Input((3, 4))
    with pytest.raises(ValueError, match="multiplies parts of its input"):
        lipot.lipschitz_constant(keras.Model(tokens, attention(tokens, tokens)))
    with pytest.raises(ValueError, match="mask"):
        lipot.lipschitz_constant(keras.Model(tokens, keras.layers.Masking()(tokens)))


@pytest.mark.parametrize(
    "layer, built, called",
    [
        (lipot.layers.PositionEmbedding, (5, 2), (1, 2)),
        (lipot.layers.BatchCentering, (5,), (1,)),
        (lipot.layers.LayerCentering, (5,), (1,)),
        (lambda: lipot.layers.LayerCentering(center=False), (2,), (100,)),
        (lambda: PatchEmbedding(2, 3), (4, 4, 2), (8, 4, 1)),
    ],
)
def test_a_layer_called_past_its_input_spec_is_bounded_for_its_own_sizes(layer, built, called):
    """`TimeDistributed` calls it so: its parameters would repeat the input, or count it wrong."""
    steps = keras.layers.TimeDistributed(layer())
    steps(keras.Input((3, *built)))
    for norm in (2, "inf"):
        with pytest.raises(ValueError, match="built for other sizes"):
            lipot.lipschitz_constant(functional(steps, (3, *called)), norm)
        # The layer itself knows it too, should someone have taken its `input_spec` away.
        with pytest.raises(ValueError, match="repeat the input|built for other sizes"):
            steps.layer.bound((None, *called), norm)
