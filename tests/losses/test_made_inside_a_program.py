"""A loss may be made inside a compiled program, as those of Keras may."""

import keras
import numpy as np
import pytest

from lipot import losses
from tests.replicas import X, labels, losses_by_name

if keras.backend.backend() != "tensorflow":
    pytest.skip("tf.function belongs to TensorFlow.", allow_module_level=True)

STOCK = {n: v for n, v in losses_by_name().items() if not isinstance(v, keras.layers.Layer)}


@pytest.mark.parametrize("name", STOCK)
def test_a_loss_is_made_inside_a_program(name):
    tf = pytest.importorskip("tensorflow")

    given, y = STOCK[name], labels(name)
    scores = np.tanh(X[:, : 1 if y.ndim > 1 and y.shape[1] == 1 else 3])
    config = given.get_config()

    @tf.function
    def inside(y, scores):
        return type(given).from_config(config)(y, scores)

    for _ in range(2):
        np.testing.assert_allclose(inside(y, scores), given(y, scores), rtol=1e-5)


def test_such_a_loss_says_that_its_numbers_are_fixed():
    tf = pytest.importorskip("tensorflow")

    made = []

    @tf.function
    def inside(y, scores):
        loss = made[0] if made else losses.HKR(alpha=2.0)
        made.append(loss)
        return loss(y, scores)

    inside(tf.constant([[1.0], [0.0]]), tf.constant([[0.5], [-0.5]]))
    with pytest.raises(ValueError, match="made inside a tf.function"):
        made[0].alpha = 3.0
