"""Every loss at its ends: long logits, few samples, no weight, labels of any type."""

import numpy as np
import pytest
from keras import ops

from lipot.backend import value_and_input_gradient
from tests.helpers import to_numpy
from tests.losses.test_half_precision import EVERY_LOSS, LOGITS, labels_for
from tests.public_classes import make


@pytest.mark.parametrize("name", EVERY_LOSS)
def test_values_and_gradients_are_finite(name):
    loss = make("losses", name)
    labels, outputs = labels_for(loss)
    scores = LOGITS[:, :outputs].astype("float32")
    one_class = np.repeat(labels[:1], 7, axis=0)
    cases = [(labels, factor * scores, None) for factor in (1e3, -1e3, 1e9)]
    cases += [(labels, 0.0 * scores - 1e3, None), (one_class, scores, None)]
    cases += [(labels[:1], scores[:1], None), (labels, scores, np.zeros(7))]
    for y_true, y_pred, weights in cases:
        value, gradient = value_and_input_gradient(
            lambda z, y=y_true, w=weights: loss(y, z, sample_weight=w),
            ops.convert_to_tensor(y_pred),
        )
        assert np.isfinite(float(value)) and np.isfinite(to_numpy(gradient)).all()
    # The last case: samples without weight cost nothing.
    assert float(value) == 0.0 and not to_numpy(gradient).any()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "float16", "float64"])
@pytest.mark.parametrize("name", EVERY_LOSS)
def test_the_type_of_the_labels_changes_nothing(name, dtype):
    loss = make("losses", name)
    labels, outputs = labels_for(loss)
    scores = LOGITS[:, :outputs].astype("float32")
    expected = float(loss(labels, scores))
    for y_true in [labels, labels[:, None]] if labels.ndim == 1 else [labels]:
        typed = np.maximum(y_true, 0).astype(dtype)
        assert float(loss(typed, scores)) == pytest.approx(expected, rel=1e-6)
