"""The gallery says what the model says, and how the attack and the counterfactual came there."""

import keras
import numpy as np

from lipot import layers
from lipot.evaluation.page.views import gallery
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


def test_the_gallery_names_the_attack_how_far_it_went_and_how_sure_the_network_is():
    last = keras.layers.Dense(2, use_bias=False)
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), last])
    # Twice the first two pixels: rows that no one takes for probabilities.
    last.set_weights([2.0 * np.eye(16, 2)])
    x = np.zeros((2, 4, 4, 1), "float32")
    x[:, 0, 0] = 1.0
    x_adv = x.copy()
    x_adv[0, 0, :2] = [[0.25], [1.0]]
    found = views_of(model, x, [0, 0], x_adv, eps=2.0, norm=2, attacks=["pgd", ""])["gallery"]
    assert found.attacks == ("pgd", "")
    # (0.75, 1) is 1.25 long; logits 2 and 0 before, 0.5 and 2 after.
    np.testing.assert_allclose(found.attack_distances, [1.25, 0.0])
    np.testing.assert_allclose(found.confidences, [1 / (1 + np.exp(-2))] * 2, rtol=1e-5)
    np.testing.assert_allclose(found.confidences_adversarial[0], 1 / (1 + np.exp(-1.5)), rtol=1e-5)
    rows = gallery.section(found, "m0").examples
    captions = [[cell.caption.replace("\u00a0", " ") for cell in row] for row in rows]
    assert captions[0][:3] == ["0, seen as 0, 88 %", "pgd, l2 1.2", "seen as 1, 82 %"]
    assert captions[1][1:3] == ["no attack broke it", "seen as 0, 88 %"]
