import keras
import numpy as np
import pytest

from lipot.optimizers import RateFactors


def model_of(optimizer):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    return model


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(16, 3)).astype("float32"), rng.normal(size=(16, 1)).astype("float32")


def test_each_variable_moves_by_its_share_of_the_step():
    x, y = data()
    factors = [1.0, 0.5, 0.1, 2.0]
    plain, scaled = model_of("adam"), model_of(RateFactors(keras.optimizers.Adam(1e-3), factors))
    before = plain.get_weights()
    for model in (plain, scaled):
        model.fit(x, y, batch_size=16, verbose=0)
    for old, whole, part, factor in zip(
        before, plain.get_weights(), scaled.get_weights(), factors, strict=True
    ):
        assert np.abs(whole - old).max() > 5e-4
        np.testing.assert_allclose(part - old, factor * (whole - old), rtol=1e-4, atol=1e-7)


def test_it_is_saved_with_its_state_and_its_rate_can_be_set(tmp_path):
    x, y = data()
    model = model_of(RateFactors(keras.optimizers.Adam(1e-3), [1.0, 0.5, 0.1, 2.0]))
    model.fit(x, y, verbose=0)
    model.optimizer.learning_rate = 2e-3
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert int(loaded.optimizer.iterations) == 1
    assert float(loaded.optimizer.learning_rate) == pytest.approx(2e-3)
    for one in (model, loaded):
        one.fit(x, y, shuffle=False, verbose=0)
    for old, new in zip(model.get_weights(), loaded.get_weights()):
        np.testing.assert_allclose(old, new, atol=1e-6)


@pytest.mark.parametrize("factors", [[1.0, 1.0], [1.0, 1.0, 1.0, -1.0]])
def test_bad_factors_are_named(factors):
    with pytest.raises(ValueError, match="argument `factors`"):
        model_of(RateFactors("sgd", factors)).fit(*data(), verbose=0)
