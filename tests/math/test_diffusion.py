"""Diffusion against Gaussian conditioning, worked out in NumPy."""

import numpy as np
import pytest
from keras import ops

from lipot.math import diffusion
from tests.helpers import to_numpy


@pytest.mark.parametrize("t", [0, 1, 17, 49])
def test_the_posterior_is_that_of_gaussian_conditioning(t):
    schedule = diffusion.linear_schedule(50)
    noise, kept, before = schedule.noise[t], schedule.kept[t], schedule.kept_before[t]
    x_0, x_t = 0.3, -0.8
    # Given x_0: x_{t-1} has variance 1 - before; x_t = sqrt(1 - noise) x_{t-1} + noise.
    prior, slope = 1.0 - before, np.sqrt(1.0 - noise)
    covariance = np.array([[prior, slope * prior], [slope * prior, slope**2 * prior + noise]])
    assert np.isclose(covariance[1, 1], 1.0 - kept)
    gain = covariance[0, 1] / covariance[1, 1]
    mean = np.sqrt(before) * x_0 + gain * (x_t - slope * np.sqrt(before) * x_0)
    variance = covariance[0, 0] - gain * covariance[1, 0]
    found = diffusion.posterior(x_0, x_t, noise=noise, kept=kept, kept_before=before)
    assert np.isclose(float(found.mean), mean, atol=1e-5)
    assert np.isclose(float(found.variance), variance, atol=1e-6)


def test_the_noise_gives_the_image_back():
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(3, 4)).astype("float32"), rng.normal(size=(3, 4)).astype("float32")
    tensor, kept = ops.convert_to_tensor(noise), ops.convert_to_tensor(np.float32(0.3))
    diffused = diffusion.diffuse(ops.convert_to_tensor(x), tensor, kept)
    assert np.allclose(to_numpy(diffusion.denoised(diffused, tensor, kept)), x, atol=1e-5)


@pytest.mark.parametrize("steps", [25, 100, 1000])
def test_a_schedule_ends_in_noise(steps):
    schedule = diffusion.linear_schedule(steps)
    assert np.all((schedule.noise > 0.0) & (schedule.noise < 1.0))
    assert np.allclose(schedule.kept[1:] / schedule.kept[:-1], 1.0 - schedule.noise[1:])
    assert schedule.kept[-1] < 1e-4 and schedule.kept_before[0] == 1.0
