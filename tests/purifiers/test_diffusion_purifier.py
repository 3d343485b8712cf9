"""The way to noise and back, where the network knows the noise of Gaussian data exactly."""

import keras
import numpy as np
import pytest
from keras import ops

import lipot
from lipot.math import diffusion
from lipot.purifiers import DiffusionPurifier, denoising_unet

MEAN, DEVIATION, STEPS = 0.2, 0.5, 40


def exact_network():
    """The expected noise given a diffused number, for data of a normal distribution."""
    kept = diffusion.linear_schedule(STEPS).kept.astype("float32")
    state, step = keras.Input((1,)), keras.Input(())
    share = keras.layers.Lambda(lambda t: ops.take(kept, ops.cast(t, "int32"))[:, None])(step)
    spread = share * DEVIATION**2 + 1.0 - share
    noise = ops.sqrt(1.0 - share) * (state - ops.sqrt(share) * MEAN) / spread
    return keras.Model([state, step], noise)


def expected_moments(x, steps):
    """Mean and variance of the purified number, by the linear recursion of the reverse steps."""
    schedule = diffusion.linear_schedule(STEPS)
    kept = schedule.kept[steps - 1]
    mean, variance = np.sqrt(kept) * x, 1.0 - kept
    for t in reversed(range(steps)):
        kept, before, noise = (schedule.kept[t], schedule.kept_before[t], schedule.noise[t])
        spread = kept * DEVIATION**2 + 1.0 - kept
        # The guess of x_0 is affine in the state: Gaussian conditioning.
        slope = np.sqrt(kept) * DEVIATION**2 / spread
        offset = MEAN - slope * np.sqrt(kept) * MEAN
        of_image = np.sqrt(before) * noise / (1.0 - kept)
        of_state = np.sqrt(1.0 - noise) * (1.0 - before) / (1.0 - kept)
        gain = of_image * slope + of_state
        mean = gain * mean + of_image * offset
        variance = gain**2 * variance + noise * (1.0 - before) / (1.0 - kept)
    return mean, variance


@pytest.mark.parametrize("level", [0.1, 0.5])
def test_moments_are_those_of_the_gaussian_recursion(level):
    purifier = DiffusionPurifier(exact_network(), steps=STEPS, level=level, clip=False, seed=0)
    x = 0.9
    found = purifier.predict(np.full((20_000, 1), x, "float32"), batch_size=20_000, verbose=0)
    found = 2.0 * found - 1.0
    mean, variance = expected_moments(2.0 * x - 1.0, purifier.purification_steps)
    assert np.isclose(np.mean(found), mean, atol=5.0 * np.sqrt(variance / 20_000))
    assert np.isclose(np.var(found), variance, rtol=0.06)
    # Enough noise brings any input near the data.
    assert (mean < 2.0 * x - 1.0) and mean > MEAN


def test_the_loss_of_the_exact_network_is_the_noise_that_no_one_can_tell():
    purifier = DiffusionPurifier(exact_network(), steps=STEPS, clip=False, seed=0)
    rng = np.random.default_rng(0)
    x = 0.5 * (1.0 + MEAN + DEVIATION * rng.normal(size=(20_000, 1))).astype("float32")
    kept = diffusion.linear_schedule(STEPS).kept
    # Variance of the noise given the state, averaged over the steps.
    expected = np.mean(kept * DEVIATION**2 / (kept * DEVIATION**2 + 1.0 - kept))
    found = ops.convert_to_numpy(purifier.purification_losses(x, None, False))
    assert np.isclose(np.mean(found), expected, rtol=0.05)


@pytest.mark.slow
def test_a_unet_learns_to_tell_the_noise_in_digits(tmp_path):
    keras.utils.set_random_seed(0)
    x = lipot.datasets.load("digits").x_train
    purifier = DiffusionPurifier(denoising_unet((8, 8, 1), filters=16), level=0.1, seed=0)
    purifier.compile(keras.optimizers.Adam(2e-3))
    losses = purifier.fit(x, batch_size=64, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0] and losses[-1] < 0.2
    # It brings noisy digits nearer to the clean ones than they were.
    rng = np.random.default_rng(0)
    noisy = np.clip(x[:64] + 0.3 * rng.normal(size=x[:64].shape), 0.0, 1.0).astype("float32")
    cleaned = purifier.predict(noisy, verbose=0)
    assert np.mean((cleaned - x[:64]) ** 2) < np.mean((noisy - x[:64]) ** 2)
    purifier.save(tmp_path / "diffusion.keras")
    loaded = keras.saving.load_model(tmp_path / "diffusion.keras", safe_mode=True)
    expected = purifier.predict(noisy, verbose=0)
    assert np.allclose(loaded.predict(noisy, verbose=0), expected, atol=1e-4)


@pytest.mark.parametrize(("policy", "steps"), [("mixed_float16", 1000), ("mixed_bfloat16", 300)])
def test_half_precision_purifies_as_single_does(policy, steps):
    """Its first share of the image is 1 there, and it has no number for most steps."""
    x = np.random.default_rng(0).uniform(size=(4, 8, 8, 1)).astype("float32")
    before, found = keras.config.dtype_policy(), []
    try:
        for name in ("float32", policy):
            keras.config.set_dtype_policy(name)
            keras.utils.set_random_seed(0)
            network = denoising_unet((8, 8, 1), filters=8)
            purifier = DiffusionPurifier(network, steps=steps, level=6 / steps, seed=0)
            found.append(ops.convert_to_numpy(ops.cast(purifier(x), "float32")))
    finally:
        keras.config.set_dtype_policy(before)
    np.testing.assert_allclose(found[1], found[0], atol=0.02)
