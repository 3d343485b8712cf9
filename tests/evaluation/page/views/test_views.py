import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from lipot import layers, models
from lipot.evaluation.page import views
from lipot.evaluation.page.views import hidden
from lipot.evaluation.page.views.counterfactual import walk_across
from lipot.interop import art

RNG = np.random.default_rng(0)


def _linear(weights, **kwargs):
    """A model of one dense layer with given weights and no bias."""
    layer = keras.layers.Dense(weights.shape[1], use_bias=False, **kwargs)
    model = keras.Sequential([keras.Input((len(weights),)), layer])
    layer.set_weights([weights])
    return model


def _image_model():
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(3, 3, activation="relu", name="conv"),
            keras.layers.Flatten(),
            keras.layers.Dense(5, "relu", name="wide"),
            keras.layers.Dense(3, name="last"),
        ]
    )


@pytest.fixture(scope="module")
def of_images():
    """Every view of a small network on images."""
    model = _image_model()
    x = RNG.uniform(size=(40, 6, 6, 1)).astype("float32")
    y = model.predict(x, verbose=0).argmax(axis=1)
    x_adv = np.clip(x + RNG.normal(size=x.shape) * 0.2, 0.0, 1.0).astype("float32")
    found = views.compute(model, x, y, x_adv, eps=0.5, norm=2, clip_values=(0.0, 1.0))
    return SimpleNamespace(model=model, x=x, y=y, x_adv=x_adv, views=found)


def test_every_view_of_an_image_network_is_there(of_images):
    kinds = {name: type(view).__name__ for name, view in of_images.views.items()}
    assert kinds == {
        "gallery": "Gallery",
        "cross_sections": "CrossSections",
        "singular_values": "SingularValues",
        "activations": "Activations",
        "embedding": "Embedding",
    }


def test_views_survive_json(of_images):
    for view in of_images.views.values():
        record = view.to_dict()
        restored = views.View.from_dict(json.loads(json.dumps(record, allow_nan=False)))
        assert type(restored) is type(view)
        assert restored.to_dict() == record
        for name, value in vars(view).items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(getattr(restored, name), value)
                assert getattr(restored, name).dtype == value.dtype


def test_an_unknown_record_is_named():
    with pytest.raises(ValueError, match="Received: view='Painting'"):
        views.View.from_dict({"view": "Painting"})


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
    shown = views.compute(model, x, y, x, eps=0.1, norm=2)["gallery"]
    assert "1-Lipschitz" in shown.counterfactual_is
    # The difference of the logits is sqrt(2) times the second pixel, whose sign decides.
    mirrored = shown.clean.copy()
    mirrored[:, 0, 1] *= -1.0
    np.testing.assert_allclose(shown.counterfactual, mirrored, atol=1e-4)
    assert np.all(shown.seen_counterfactual != shown.seen_clean)


def test_a_walk_stops_as_far_beyond_the_decision_as_it_began_before():
    model = _linear(np.array([[1.0, -1.0], [0.0, 0.0]]))
    x = np.array([[0.5, 3.0], [-1.0, 2.0]], "float32")
    found = walk_across(art.classifier(model), x, np.array([0.01, 0.01]), steps=500)
    np.testing.assert_allclose(found.moved, [[-0.5, 3.0], [1.0, 2.0]], atol=0.011)
    assert found.before.tolist() == [0, 1] and found.after.tolist() == [1, 0]


def test_a_cross_section_finds_the_distance_to_a_straight_decision():
    # The decision of class 0 against 1 is the plane 3 x + 4 y = 0, at |3 x + 4 y| / 5.
    weights = np.array([[3.0, -3.0], [4.0, -4.0], [0.0, 0.0]]) / 2
    x = np.array([[0.41, 0.0, 1.0], [0.0, -0.53, 2.0]], "float32")
    shown = views.compute(_linear(weights), x, np.array([0, 1]), x, eps=0.2, norm=2)
    shown = shown["cross_sections"]
    step = shown.offsets[1] - shown.offsets[0]
    exact = np.abs(3 * x[:, 0] + 4 * x[:, 1]) / 5
    assert np.all((shown.free >= exact - 1e-6) & (shown.free <= exact + step))
    center = len(shown.offsets) // 2
    for plane in shown.classes:
        # The second direction lies in the plane of the decision: every row is the same.
        assert np.all(plane == plane[0])
        assert len(set(plane[0, :center])) == 1 and len(set(plane[0])) == 2


@pytest.mark.parametrize("norm", [2, "inf"])
def test_a_cross_section_measures_offsets_in_the_norm_of_the_attack(norm):
    x = RNG.normal(size=(3, 4)).astype("float32")
    model = _linear(RNG.normal(size=(4, 3)))
    shown = views.compute(model, x, np.zeros(3, int), x, eps=0.3, norm=norm)["cross_sections"]
    radii = np.hypot(*np.meshgrid(shown.offsets, shown.offsets))
    assert np.all(shown.sizes <= radii + 1e-6)
    if norm == 2:
        np.testing.assert_allclose(
            shown.sizes, np.broadcast_to(radii, shown.sizes.shape), rtol=1e-5
        )
    else:
        # |v|_inf >= |v|_2 / sqrt(d)
        assert np.all(shown.sizes >= radii / 2 - 1e-6) and np.any(shown.sizes < 0.99 * radii)
    assert shown.sizes.max() >= 3.0 * 0.3 * 0.99


def test_singular_values_are_those_of_numpy(of_images):
    shown = of_images.views["singular_values"]
    assert shown.layers == ("conv", "wide", "last")
    kernel = of_images.model.get_layer("conv").get_weights()[0].reshape(9, 3)
    expected = np.sqrt(np.linalg.eigvalsh(kernel.T.astype("float64") @ kernel))[::-1]
    np.testing.assert_allclose(shown.values[0], expected, rtol=1e-5)


def test_singular_values_of_a_lipot_layer_are_those_it_applies():
    model = keras.Sequential([keras.Input((8,)), layers.SpectralDense(4), keras.layers.Dense(2)])
    x = RNG.normal(size=(4, 8)).astype("float32")
    found = views.compute(model, x, np.zeros(4, int), x, eps=0.1, norm=2)["singular_values"]
    np.testing.assert_allclose(found.values[0], np.ones(4), atol=1e-4)


def test_activations_by_hand():
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(2, "relu", name="hidden"), keras.layers.Dense(2)]
    )
    model.get_layer("hidden").set_weights([np.array([[1.0, 0.0], [0.0, 2.0]]), np.zeros(2)])
    x = np.array([[1.0, 1.0], [3.0, 1.0]], "float32")
    x_adv = np.array([[1.0, 0.0], [3.0, -1.0]], "float32")
    shown = views.compute(model, x, np.array([0, 1]), x_adv, eps=2.0, norm=2)["activations"]
    np.testing.assert_allclose(shown.clean, [2.0, 2.0])
    np.testing.assert_allclose(shown.adversarial, [2.0, 0.0])
    assert shown.layers[0] == "hidden"
    # |(1, 2) - (1, 0)| / |(1, 2)| and |(3, 2) - (3, 0)| / |(3, 2)|
    np.testing.assert_allclose(shown.change[0], (2 / 5**0.5 + 2 / 13**0.5) / 2, rtol=1e-6)


def test_features_are_found_inside_nested_models():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
    outer = keras.Sequential([keras.Input((4,)), keras.layers.Rescaling(2.0), inner])
    x = RNG.normal(size=(5, 4)).astype("float32")
    found = hidden.features(outer, x)
    kernel, bias = inner.layers[0].get_weights()
    np.testing.assert_allclose(found.values, 2 * x @ kernel + bias, atol=1e-5)
    assert found.layer == inner.layers[1].name


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
    found = views.compute(model, x, np.zeros(4, int), x, eps=0.1, norm=2, clip_values=(0.0, 1.0))
    assert found["activations"].clean.shape == (2,)
    assert found["embedding"].method == "the features themselves"
    np.testing.assert_allclose(found["embedding"].clean, model.encoder.predict(x, verbose=0))


def test_vectors_have_no_gallery_and_opaque_models_no_features():
    backbone = keras.Sequential([keras.Input((3,)), keras.layers.Rescaling(2.0)])
    x = RNG.normal(size=(20, 3)).astype("float32")
    model = models.OTAD(backbone, keras.layers.Dense(2), neighbors=5).adapt(x)
    found = views.compute(model, x, np.zeros(20, int), x + 0.1, eps=0.2, norm=2)
    assert "(3,)" in found["gallery"].reason
    assert "OTAD shows no graph" in found["activations"].reason
    assert found["embedding"].clean.shape == (20, 2)
    assert found["cross_sections"].classes.shape[0] == 4


def test_probabilities_and_single_units_are_understood():
    x = RNG.normal(size=(6, 4)).astype("float32")
    weights = RNG.normal(size=(4, 3))
    plain = views.compute(_linear(weights), x, np.zeros(6, int), x, eps=0.3, norm=2)
    squashed = views.compute(
        _linear(weights, activation="softmax"), x, np.zeros(6, int), x, eps=0.3, norm=2
    )
    np.testing.assert_array_equal(
        plain["cross_sections"].classes, squashed["cross_sections"].classes
    )
    single = views.compute(_linear(weights[:, :1]), x, np.ones(6, int), x, eps=0.3, norm=2)
    assert set(single["cross_sections"].classes.ravel()) <= {0, 1}


def test_a_picture_that_fails_says_so(monkeypatch):
    def broken(subject):
        raise ZeroDivisionError("by nothing")

    monkeypatch.setitem(views._MAKERS, "gallery", broken)
    x = np.ones((2, 4), "float32")
    found = views.compute(_linear(np.eye(4, 2)), x, np.zeros(2, int), x, eps=0.3, norm=2)
    assert found["gallery"].reason.endswith("ZeroDivisionError: by nothing")


def test_points_and_attacked_points_must_fit():
    with pytest.raises(ValueError, match="`x_adv`.*shaped like `x`"):
        views.compute(
            _linear(np.eye(4, 2)), np.ones((2, 4)), [0, 1], np.ones((2, 3)), eps=1, norm=2
        )


def test_shares_of_each_class_by_hand():
    record = SimpleNamespace(
        labels=np.array([0, 0, 2, 2, 2]),
        predictions=np.array([0, 1, 2, 2, 2]),
        broken_by={0.5: np.array([-1, -2, 0, -1, -1])},
        certified_radius=np.array([0.6, 9.0, 0.1, 0.6, 0.5]),
    )
    shown = views.per_class(record, 0.5)
    assert shown.classes.tolist() == [0, 2] and shown.points.tolist() == [2, 3]
    np.testing.assert_allclose(shown.clean, [0.5, 1.0])
    # A radius of 0.5 holds the ball of 0.5, border included.
    np.testing.assert_allclose(shown.attacked, [0.5, 2 / 3])
    np.testing.assert_allclose(shown.certified, [0.5, 2 / 3])
    record.certified_radius = None
    assert views.per_class(record, 0.5).certified is None
