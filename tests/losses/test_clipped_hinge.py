"""The loss of l-infinity-distance networks, by hand and while it fades."""

import keras
import numpy as np
import pytest

import lipot
from lipot.losses import ClippedHingeCrossentropy
from tests.helpers import to_numpy


def test_it_is_the_formula():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(50, 4)).astype("float32"), np.eye(4)[rng.integers(0, 4, 50)]
    loss = ClippedHingeCrossentropy(0.7, weight=0.3, scale=2.0, reduction="none")
    true = (logits * labels).sum(axis=1)
    lead = true - np.where(labels > 0, -np.inf, logits).max(axis=1)
    scaled = 2.0 * logits
    crossentropy = np.log(np.exp(scaled).sum(axis=1)) - 2.0 * true
    expected = 0.3 * crossentropy + np.minimum(np.maximum(1.0 - lead / 0.7, 0.0), 1.0)
    np.testing.assert_allclose(to_numpy(loss(labels, logits)), expected, rtol=1e-4)
    assert {"clipped": (lead < 0).any(), "whole": (lead > 0.7).any()} == {
        "clipped": True,
        "whole": True,
    }


def test_the_weight_fades_while_training():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile("sgd", ClippedHingeCrossentropy(1.0))
    fading = lipot.callbacks.LossParamScheduler("weight", fp=[1.0, 0.0], xp=[0, 3])
    model.fit(np.ones((8, 2)), np.eye(2)[[0, 1] * 4], batch_size=2, callbacks=[fading], verbose=0)
    assert float(model.loss.weight) == 0.0


@pytest.mark.parametrize(
    "arguments, name", [((0.0,), "min_margin"), ((1.0, -1.0), "weight"), ((1.0, 1.0, 0.0), "scale")]
)
def test_bad_arguments_are_named(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        ClippedHingeCrossentropy(*arguments)
