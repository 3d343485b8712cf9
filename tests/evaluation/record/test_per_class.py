"""Shares of each class, counted by hand."""

from types import SimpleNamespace

import numpy as np

from lipot.evaluation.record.per_class import per_class


def test_shares_of_each_class_by_hand():
    record = SimpleNamespace(
        labels=np.array([0, 0, 2, 2, 2]),
        predictions=np.array([0, 1, 2, 2, 2]),
        broken_by={0.5: np.array([-1, -2, 0, -1, -1])},
        certified_radius=np.array([0.6, 9.0, 0.1, 0.6, 0.5]),
    )
    shown = per_class(record, 0.5)
    assert shown.classes.tolist() == [0, 2] and shown.points.tolist() == [2, 3]
    np.testing.assert_allclose(shown.clean, [0.5, 1.0])
    # A radius of 0.5 holds the ball of 0.5, border included.
    np.testing.assert_allclose(shown.attacked, [0.5, 2 / 3])
    np.testing.assert_allclose(shown.certified, [0.5, 2 / 3])
    record.certified_radius = None
    assert per_class(record, 0.5).certified is None
