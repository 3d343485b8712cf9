"""How points walk to another class."""

import numpy as np

from lipot.evaluation.page.views.counterfactual import walk_across
from lipot.interop import art
from tests.evaluation.page.views.cases import linear


def test_a_walk_stops_as_far_beyond_the_decision_as_it_began_before():
    model = linear(np.array([[1.0, -1.0], [0.0, 0.0]]))
    x = np.array([[0.5, 3.0], [-1.0, 2.0]], "float32")
    found = walk_across(art.classifier(model), x, np.array([0.01, 0.01]), steps=500)
    np.testing.assert_allclose(found.moved, [[-0.5, 3.0], [1.0, 2.0]], atol=0.011)
    assert found.before.tolist() == [0, 1] and found.after.tolist() == [1, 0]
