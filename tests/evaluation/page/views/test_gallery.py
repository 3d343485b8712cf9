"""The gallery says what the model says, and how the attack and the counterfactual came there."""

import keras
import numpy as np

from lipot import layers
from tests.evaluation.page.views.cases import RNG, views_of


def test_the_gallery_says_what_the_model_sees(of_images):
    shown = of_images.views["gallery"]
    for images, seen in (
        (shown.clean, shown.seen_clean),
        (shown.adversarial, shown.seen_adversarial),
        (shown.counterfactual, shown.seen_counterfactual),
    ):
        predictions = of_images.model.predict(images, verbose=0).argmax(axis=1)
        np.testing.assert_array_equal(predictions, seen)
    assert shown.counterfactual.min() >= 0.0 and shown.counterfactual.max() <= 1.0
    distances = np.linalg.norm((shown.counterfactual - shown.clean).reshape(6, -1), axis=1)
    np.testing.assert_allclose(shown.distances, distances, rtol=1e-5)
    assert "walked" in shown.counterfactual_is


def test_the_counterfactual_of_a_1_lipschitz_network_mirrors_the_point():
    # Orthonormal columns: the logits are the first two pixels, turned by 45 degrees.
    kernel = np.eye(9, 2)
    turn = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2)
    last = layers.SpectralDense(2, use_bias=False)
    model = keras.Sequential([keras.Input((3, 3, 1)), keras.layers.Flatten(), last])
    last.set_weights([(kernel @ turn).astype("float32"), *last.get_weights()[1:]])
    x = RNG.normal(size=(5, 3, 3, 1)).astype("float32")
    y = model.predict(x, verbose=0).argmax(axis=1)
    shown = views_of(model, x, y, x, eps=0.1, norm=2)["gallery"]
    assert "1-Lipschitz" in shown.counterfactual_is
    # The difference of the logits is sqrt(2) times the second pixel, whose sign decides.
    mirrored = shown.clean.copy()
    mirrored[:, 0, 1] *= -1.0
    np.testing.assert_allclose(shown.counterfactual, mirrored, atol=1e-4)
    assert np.all(shown.seen_counterfactual != shown.seen_clean)
