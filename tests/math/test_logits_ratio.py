import numpy as np
import pytest
from keras import ops

from lipot import backend
from lipot.math import soft_margins
from lipot.math.logits_ratio import difference_logits_ratio, targeted_logits_ratio
from tests.helpers import to_numpy

LOGITS = np.array([[1.0, 4.0, 3.0, 0.0, -2.0], [2.0, 1.0, 6.0, 5.0, 0.0]], "float32")


def rows(*classes, width=5):
    return np.eye(width, dtype="float32")[list(classes)]


def test_ratios_by_hand():
    # Sorted: 4 3 1 0 -2 and 6 5 2 1 0.
    untargeted = to_numpy(difference_logits_ratio(rows(1, 0), LOGITS))
    np.testing.assert_allclose(untargeted, [(3 - 4) / (4 - 1), (6 - 2) / (6 - 2)], rtol=1e-6)
    targeted = to_numpy(targeted_logits_ratio(rows(1, 0), rows(3, 2), LOGITS))
    np.testing.assert_allclose(targeted, [(0 - 4) / (4 - 0.5), (6 - 2) / (6 - 1.5)], rtol=1e-6)


def test_smoothed_labels_name_the_same_class():
    smoothed = (0.6 / 5 + 0.4 * rows(1, 0)).astype("float32")
    plain, soft = (to_numpy(difference_logits_ratio(y, LOGITS)) for y in (rows(1, 0), smoothed))
    np.testing.assert_array_equal(soft, plain)
    best = soft_margins.smooth_best_other(smoothed, LOGITS, 0.5)
    np.testing.assert_array_equal(best, soft_margins.smooth_best_other(rows(1, 0), LOGITS, 0.5))
    competitors = soft_margins.competitor_weights(smoothed, LOGITS, 1.0)
    assert to_numpy(competitors)[[0, 1], [1, 0]].tolist() == [0.0, 0.0]


def test_ratios_ignore_shift_and_scale():
    for loss in (
        lambda z: difference_logits_ratio(rows(1, 0), z),
        lambda z: targeted_logits_ratio(rows(1, 0), rows(3, 2), z),
    ):
        first, other = to_numpy(loss(LOGITS)), to_numpy(loss(7.0 * LOGITS + 3.0))
        np.testing.assert_allclose(other, first, rtol=1e-5)


@pytest.mark.parametrize(
    ("logits", "targeted", "untargeted"),
    [([[3.0, 1.0, 0.0]], -2 / 3, -2 / 3), ([[3.0, 1.0]], -2.0, -2.0)],
)
def test_few_classes_have_a_simpler_denominator(logits, targeted, untargeted):
    logits = np.array(logits, "float32")
    label, target = (rows(i, width=logits.shape[1]) for i in (0, 1))
    assert float(targeted_logits_ratio(label, target, logits)[0]) == pytest.approx(targeted)
    assert float(difference_logits_ratio(label, logits)[0]) == pytest.approx(untargeted)


def test_equal_logits_give_finite_values_and_gradients():
    def total(logits):
        label, target = (ops.convert_to_tensor(rows(i)) for i in (1, 0))
        return ops.sum(targeted_logits_ratio(label, target, logits))

    value, gradient = backend.value_and_input_gradient(total, np.zeros((1, 5), "float32"))
    assert float(value) == 0.0 and np.all(np.isfinite(to_numpy(gradient)))
