"""Heaviest paths against SciPy's shortest paths."""

import numpy as np
from keras import ops
from scipy.sparse.csgraph import NegativeCycleError, floyd_warshall

from lipot.math.max_plus import max_plus_closure


def test_agrees_with_scipy_floyd_warshall():
    rng = np.random.default_rng(0)
    cycles = 0
    for _ in range(30):
        weights = rng.normal(-2.0, 1.0, size=(7, 7))
        np.fill_diagonal(weights, 0.0)
        closure = max_plus_closure(ops.convert_to_tensor(weights[None]))
        try:
            expected = -floyd_warshall(-weights)
        except NegativeCycleError:
            cycles += 1
            assert float(closure.worst_cycle[0]) > 0.0
            continue
        assert float(closure.worst_cycle[0]) == 0.0
        np.testing.assert_allclose(np.asarray(closure.paths[0]), expected, atol=1e-12)
    assert 3 <= cycles <= 27
