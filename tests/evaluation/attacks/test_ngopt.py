"""The gradient-free attack of Carlini and Wagner."""

import numpy as np
import pytest

from lipot.evaluation.attacks.ngopt import NGOptCarlini
from tests.evaluation.attacks.cases import estimator_of


def test_ngopt_finds_near_misclassified_points(setting):
    pytest.importorskip("nevergrad")
    model, x, y = setting
    estimator = estimator_of(model)
    x, y = x[:8], y[:8]
    attacked = NGOptCarlini(estimator, sigma=0.2, budget=40).generate(x, y)
    changed = np.any((attacked != x).reshape(len(x), -1), axis=1)
    right = np.argmax(model.predict(x, verbose=0), axis=1) == y
    wrong = np.argmax(model.predict(attacked, verbose=0), axis=1) != y
    assert np.any(changed & right)
    np.testing.assert_array_equal(wrong[right], changed[right])
    assert attacked.min() >= 0.0 and attacked.max() <= 1.0
    again = NGOptCarlini(estimator, sigma=0.2, budget=40).generate(x, y)
    np.testing.assert_array_equal(again, attacked)
    with pytest.raises(ValueError, match="`sigma`.*sigma=0"):
        NGOptCarlini(estimator, sigma=0)
    with pytest.raises(ValueError, match="`budget`. Expected a positive integer"):
        NGOptCarlini(estimator, budget=0.5)
