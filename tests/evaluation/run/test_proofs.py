"""A certificate that an attack contradicts."""

import numpy as np
import pytest

from lipot.evaluation.run import proofs


def test_a_certificate_that_is_broken_is_an_error():
    broken_by = {0.1: np.array([-1, 0]), 0.2: np.array([-2, 0])}
    proofs.check_against(np.array([9.0, 0.09]), broken_by, (0.1, 0.2), ("pgd",))
    # The closed ball is certified: at 0.1 it is broken too.
    for radius in (0.1, 0.15):
        with pytest.raises(RuntimeError, match=f"proven.*up to {radius}, but pgd broke it"):
            proofs.check_against(np.array([9.0, radius]), broken_by, (0.1, 0.2), ("pgd",))
