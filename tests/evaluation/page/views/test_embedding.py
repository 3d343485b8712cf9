"""The plane that points are drawn in."""

import numpy as np

from lipot import models
from tests.evaluation.page.views.cases import RNG, views_of


def test_the_embedding_is_made_of_the_features(of_images):
    shown = of_images.views["embedding"]
    assert shown.method == "t-SNE" and shown.clean.shape == shown.adversarial.shape == (40, 2)
    assert np.all(shown.right)
    attacked = of_images.model.predict(of_images.x_adv, verbose=0).argmax(axis=1)
    np.testing.assert_array_equal(shown.right_adversarial, attacked == of_images.y)


def test_codes_of_two_numbers_are_drawn_as_they_are():
    model = models.OTClassifier(
        models.embedding_encoder((8, 8, 1), code_size=2, filters=2),
        models.embedding_classifier(code_size=2, classes=3, units=4),
    )
    x = RNG.uniform(size=(4, 8, 8, 1)).astype("float32")
    found = views_of(model, x, np.zeros(4, int), x, eps=0.1, norm=2, clip_values=(0.0, 1.0))
    assert found["activations"].clean.shape == (2,)
    assert found["embedding"].method == "the features themselves"
    np.testing.assert_allclose(found["embedding"].clean, model.encoder.predict(x, verbose=0))
