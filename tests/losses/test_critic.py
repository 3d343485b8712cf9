"""A critic trained with the KR loss measures the Wasserstein-1 distance."""

import numpy as np
import pytest

from benchmarks.measure.training.wasserstein_critic import clouds, estimate

ot = pytest.importorskip("ot")


@pytest.mark.slow
def test_trained_critic_agrees_with_the_linear_program():
    mu, nu = clouds(500, seed=1)
    weights = np.full(500, 1 / 500)
    exact = float(ot.emd2(weights, weights, ot.dist(mu, nu, metric="euclidean")))
    value, _, _ = estimate(mu, nu, epochs=250, seed=0)
    # A 1-Lipschitz critic can only fall short of the supremum.
    assert 0.95 * exact <= value <= exact * (1 + 1e-4)
