"""Tests of the layer of l-infinity distances, against NumPy."""

import keras
import numpy as np
import pytest

import lipot
from lipot.backend import value_and_input_gradient
from lipot.layers import BatchCentering, LInfDistanceDense
from lipot.math.precision import widest_float
from tests.helpers import check_layer, to_numpy
from tests.lipschitz import check_bound


def sample(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_it_is_numpy():
    layer, x = (
        LInfDistanceDense(5, bias_initializer="random_normal", k_coef_lip=0.5),
        sample(7, 2, 3),
    )
    y = to_numpy(layer(x))
    w, b = to_numpy(layer.kernel), to_numpy(layer.bias)
    expected = 0.5 * np.abs(x[..., None] - w).max(axis=-2) + b
    np.testing.assert_allclose(y, expected, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_farthest_feature_gets_the_gradient(dtype):
    x = sample(5, 7)
    layer = LInfDistanceDense(4, dtype=dtype)
    inputs = keras.ops.convert_to_tensor(x.astype(dtype))
    layer(inputs)
    _, gradient = value_and_input_gradient(lambda z: keras.ops.sum(layer(z)), inputs)
    shifts = x[..., None] - to_numpy(layer.kernel).astype("float32")
    farthest = np.arange(7)[:, None] == np.abs(shifts).argmax(axis=1)[:, None]
    expected = np.sum(farthest * np.sign(shifts), axis=-1)
    np.testing.assert_array_equal(to_numpy(gradient), expected)


def test_the_bound_is_attained_far_out_and_never_beaten():
    for features, units in ((3, 6), (5, 1)):
        layer = LInfDistanceDense(units, k_coef_lip=2.0, dtype="float64")
        layer.build((None, features))
        assert layer.lipschitz_bound == pytest.approx(2.0 * np.sqrt(units))
        # The points of 1e3 times a noise are far out.
        check_bound(layer, (features,), attained=0.999)


def test_each_unit_is_one_lipschitz_in_linf():
    layer = LInfDistanceDense(6, dtype="float64")
    x, step = np.random.default_rng(0).normal(size=(2, 2000, 4)) * [[[3.0]], [[0.5]]]
    change = np.abs(to_numpy(layer(x + step)) - to_numpy(layer(x))).max(axis=1)
    ratio = change / np.abs(step).max(axis=1)
    # Of what rounding adds a small step makes more.
    assert 0.9 < ratio.max() <= 1.0 + (1e-12 if widest_float() == "float64" else 1e-4)
    assert layer.bound((None, 4), norm="inf").lipschitz == pytest.approx(1.0, rel=1e-12)


def test_a_network_learns_and_its_margin_holds_in_linf():
    keras.utils.set_random_seed(0)
    y = np.arange(200) % 2
    x = (sample(200, 4) * 0.3 + np.where(y, 2.0, -2.0)[:, None]).astype("float32")
    model = keras.Sequential(
        [
            keras.Input((4,)),
            LInfDistanceDense(16),
            BatchCentering(momentum=0.5),
            LInfDistanceDense(2),
        ]
    )
    model.compile(keras.optimizers.Adam(0.05), lipot.losses.MultiMargin(min_margin=2.0))
    model.fit(x, np.eye(2)[y], epochs=15, batch_size=50, verbose=0)
    logits = model.predict(x, verbose=0)
    margin = np.abs(logits[:, 0] - logits[:, 1])
    assert (logits.argmax(axis=1) == y).mean() > 0.98
    for seed in range(5):
        signs = np.sign(sample(200, 4, seed=seed))
        attacked = (x + 0.999 * margin[:, None] / 2.0 * signs).astype("float32")
        predicted = model.predict(attacked, verbose=0).argmax(axis=1)
        np.testing.assert_array_equal(predicted, logits.argmax(axis=1))
    # In l2 the constants multiply: right, though far from what the margin says in l-infinity.
    assert lipot.lipschitz_constant(model) == pytest.approx(np.sqrt(16.0 * 2.0))
    np.testing.assert_allclose(lipot.certify(model, x).radius, margin / 8.0, rtol=1e-3, atol=1e-5)
    plain = lipot.to_keras(model)
    np.testing.assert_allclose(plain.predict(x, verbose=0), logits, atol=1e-5)


def test_round_trips(tmp_path):
    check_layer(LInfDistanceDense(5, kernel_regularizer="l1", use_bias=False), (2, 3, 4), tmp_path)
    check_layer(LInfDistanceDense(5, kernel_initializer="ones"), (2, 4), tmp_path)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`units`.*units=0"):
        LInfDistanceDense(0)
    with pytest.raises(ValueError, match="`k_coef_lip`"):
        LInfDistanceDense(2, k_coef_lip=float("nan"))
    for p in (1, 1024, 2.5):
        with pytest.raises(ValueError, match="`p`"):
            LInfDistanceDense(2, p=p)


def test_an_exponent_that_is_none_is_refused():
    layer = LInfDistanceDense(2, p=8)
    with pytest.raises(ValueError, match="has no weights yet"):
        layer.set_exponent(8.0)
    layer(np.ones((1, 3)))
    for wrong in ("8", 0.5, float("nan")):
        with pytest.raises(ValueError, match="argument `p`"):
            layer.set_exponent(wrong)
    plain = LInfDistanceDense(2)
    plain(np.ones((1, 3)))
    with pytest.raises(ValueError, match="made with `p`"):
        plain.set_exponent(8.0)
    with pytest.raises(ValueError, match="argument `first`"):
        lipot.callbacks.DistanceNormScheduler(10, first=0.3)


def test_training_measures_with_the_exponent_and_inference_with_infinity():
    x, layer = sample(6, 4), LInfDistanceDense(3, p=8, use_bias=False, k_coef_lip=0.5)
    shifts = np.abs(x[..., None] - to_numpy(layer.kernel if layer.built else _built(layer, 4)))
    largest = 0.5 * shifts.max(axis=1)
    np.testing.assert_allclose(to_numpy(layer(x)), largest, rtol=1e-6)
    for exponent in (8, 20):
        layer.set_exponent(exponent)
        expected = 0.5 * (shifts.astype("float64") ** exponent).sum(axis=1) ** (1.0 / exponent)
        np.testing.assert_allclose(to_numpy(layer(x, training=True)), expected, rtol=1e-5)
    layer.set_exponent(float("inf"))
    np.testing.assert_allclose(to_numpy(layer(x, training=True)), largest, rtol=1e-6)
    assert layer.bound((None, 4), norm="inf").lipschitz == pytest.approx(0.5)


def _built(layer, features):
    layer.build((None, features))
    return layer.kernel


def test_a_scheduler_raises_the_exponent_of_a_compiled_step():
    model = keras.Sequential([keras.Input((3,)), LInfDistanceDense(4, p=8), LInfDistanceDense(2)])
    model.compile("sgd", lipot.losses.MultiMargin())
    scheduler = lipot.callbacks.DistanceNormScheduler(8, first=8, last=128, begin=0.0, end=0.9)
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: seen.append(float(model.layers[0].exponent))
    )
    x, y = sample(32, 3), np.eye(2)[np.arange(32) % 2]
    model.fit(x, y, batch_size=4, callbacks=[scheduler, watch], verbose=0)
    assert seen[0] == 8.0 and seen == sorted(seen) and seen[-1] > 64.0
    assert scheduler.step == 8 and np.all(np.isfinite(model.get_weights()[0]))
    scheduler.apply(1.0)
    assert np.isfinite(float(model.layers[0].exponent))
    plain = keras.Sequential([keras.Input((3,)), LInfDistanceDense(2)])
    plain.compile("sgd", lipot.losses.MultiMargin())
    with pytest.raises(ValueError, match="with an argument `p`"):
        plain.fit(x, y, callbacks=[scheduler], verbose=0)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Nothing is compiled there.")
@pytest.mark.parametrize("p", [8, None])
def test_images_train_in_a_program_of_xla(p):
    parts = [LInfDistanceDense(3, p=p), keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((5, 4)), *parts])
    model.compile("sgd", "mse", jit_compile=True)
    history = model.fit(np.ones((8, 5, 4)), np.ones((8, 2)), verbose=0).history
    assert np.isfinite(history["loss"]).all()
