"""Certificates with radii worked out by hand, what they dominate, and what they refuse."""

import inspect
import re

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
from keras import layers

import lipot
from tests.helpers import to_numpy


def linear_model(kernel, bias=None, activation=None, before=()):
    kernel = np.asarray(kernel, "float32")
    head = layers.Dense(kernel.shape[1], activation=activation)
    model = keras.Sequential([keras.Input((kernel.shape[0],)), *before, head])
    head.set_weights([kernel, np.zeros(kernel.shape[1]) if bias is None else np.asarray(bias)])
    return model


@pytest.mark.smoke
def test_linear_classifier_radius_is_the_distance_to_the_boundary():
    # Three classes in the plane with logits x, -x, y: the boundaries are known lines.
    model = linear_model([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]])
    points = np.array([[3.0, 1.0], [-2.0, -5.0], [1.0, 4.0]])
    # x = y at distance |x - y| / sqrt(2), x = -x at distance |x|, -x = y at |x + y| / sqrt(2).
    expected = [np.sqrt(2.0), 2.0, 3.0 / np.sqrt(2.0)]
    certificate = lipot.certify(model, points, [0, 1, 0])
    np.testing.assert_allclose(certificate.radius, expected, rtol=1e-5)
    assert np.all(certificate.radius < expected)
    assert certificate.predictions.tolist() == [0, 1, 2]
    assert certificate.correct.tolist() == [True, True, False]


def test_of_many_classes_only_those_on_top_are_compared_with_all_others():
    """All pairs of 20,000 classes would take 3 GB and minutes."""
    rng = np.random.default_rng(0)
    kernel, x = rng.normal(size=(8, 20_000)), rng.normal(size=(3, 8))
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(20_000, use_bias=False)])
    model.layers[-1].set_weights([kernel])
    certificate = lipot.certify(model, x.astype("float32"))
    top = kernel[:, (x @ kernel).argmax(axis=1)].T
    with np.errstate(invalid="ignore"):
        distances = np.stack(
            [
                (row @ (w[:, None] - kernel)) / np.linalg.norm(w[:, None] - kernel, axis=0)
                for row, w in zip(x, top)
            ]
        )
    expected = np.nanmin(distances, axis=1)
    assert np.all(certificate.radius <= expected)
    np.testing.assert_allclose(certificate.radius, expected, rtol=1e-2, atol=1e-5)


def test_binary_radius_is_the_distance_to_the_hyperplane():
    model = linear_model([[3.0], [4.0]], [-5.0])
    certificate = lipot.certify(model, [[3.0, 4.0], [0.0, 0.0]], [1, -1])
    np.testing.assert_allclose(certificate.radius, [4.0, 1.0], rtol=1e-5)
    assert certificate.predictions.tolist() == [1, 0]
    assert certificate.accuracy([0.0, 2.0, 4.0]).tolist() == [1.0, 0.5, 0.0]


def test_sorted_features_by_hand():
    # max(x) - min(x) - 1 vanishes where |x_0 - x_1| = 1, at distance ||x_0 - x_1| - 1| / sqrt(2).
    model = linear_model([[-1.0], [1.0]], [-1.0], before=[lipot.layers.GroupSort2()])
    certificate = lipot.certify(model, [[0.0, 5.0], [5.0, 0.0], [0.3, 0.1]])
    np.testing.assert_allclose(
        certificate.radius, np.array([4.0, 4.0, 0.8]) / np.sqrt(2.0), rtol=1e-5
    )


def test_the_constant_of_the_features_divides_the_radius():
    scale = layers.Rescaling(10.0)
    kernel = [[1.0, -1.0], [0.0, 0.0]]
    slow, fast = linear_model(kernel), linear_model(kernel, before=[scale])
    x = np.array([[2.0, 7.0]])
    assert lipot.certify(slow, x).radius[0] == pytest.approx(2.0, rel=1e-5)
    assert lipot.certify(fast, x).radius[0] == pytest.approx(2.0, rel=1e-5)
    assert lipot.certify(fast, x).lipschitz == pytest.approx(10.0)


@pytest.mark.parametrize("disjoint", [pytest.param(True, marks=pytest.mark.smoke), False])
def test_pairwise_radius_dominates_the_classical_ones(disjoint):
    x = np.random.default_rng(0).normal(size=(200, 12))
    model = keras.Sequential(
        [
            keras.Input((12,)),
            lipot.layers.SpectralDense(16 if disjoint else 4),
            lipot.layers.GroupSort2(),
            lipot.layers.FrobeniusDense(5, disjoint_neurons=True)
            if disjoint
            else lipot.layers.SpectralDense(5),
        ]
    )
    certificate = lipot.certify(model, x)
    logits = np.sort(to_numpy(model(x)).astype("float64"), axis=1)
    margin = logits[:, -1] - logits[:, -2]
    # q outputs, each 1-Lipschitz: margin / 2. One vector that is 1-Lipschitz: margin / sqrt(2).
    classical = margin / 2.0 if disjoint else margin / np.sqrt(2.0)
    assert np.all(certificate.radius + certificate.rounding >= classical * (1 - 1e-5))
    assert np.mean(certificate.radius) > 1.02 * np.mean(classical)


@pytest.mark.parametrize("as_layer", [True, False])
def test_softmax_and_sigmoid_are_certified_at_the_logits(as_layer):
    kernel, x = [[1.0, -1.0], [0.5, 2.0]], np.array([[3.0, 1.0], [-2.0, 1.0]])
    plain = lipot.certify(linear_model(kernel), x)
    squashed = linear_model(kernel, activation=None if as_layer else "softmax")
    if as_layer:
        squashed.add(layers.Dropout(0.2))
        squashed.add(layers.Softmax())
    certificate = lipot.certify(squashed, x)
    np.testing.assert_allclose(certificate.radius, plain.radius, rtol=1e-4)
    assert np.all(certificate.radius < plain.radius)
    sigmoid = linear_model([[3.0], [4.0]], [-5.0], activation="sigmoid")
    assert lipot.certify(sigmoid, [[3.0, 4.0]]).radius[0] == pytest.approx(4.0, rel=1e-4)


def test_head_inside_nested_models():
    inner = linear_model([[1.0, -1.0], [0.0, 0.0]])
    inputs = keras.Input((2,))
    outer = keras.Model(inputs, layers.Activation("softmax")(inner(layers.Rescaling(2.0)(inputs))))
    certificate = lipot.certify(outer, [[3.0, 1.0]])
    assert certificate.radius[0] == pytest.approx(3.0, rel=1e-4)
    assert certificate.lipschitz == pytest.approx(2.0)


def test_image_models_of_any_size_are_certified_at_the_size_of_the_data():
    inputs = keras.Input((None, None, 1))
    x = lipot.layers.GroupSort2()(lipot.layers.SpectralConv2D(4, 3)(inputs))
    x = lipot.layers.ScaledGlobalL2NormPooling2D()(x)
    model = keras.Model(inputs, lipot.layers.SpectralDense(3)(x))
    images = np.random.default_rng(0).normal(size=(3, 9, 7, 1)).astype("float32")
    assert np.all(lipot.certify(model, images).radius > 0)


def test_ties_identical_rows_and_constant_classifiers():
    x = np.array([[1.0, 2.0]])
    tie = lipot.certify(linear_model([[1.0, 1.0], [0.0, 0.0]]), x)
    assert tie.radius[0] == 0.0
    # Two equal rows, apart by their biases: only rounding can reorder them, far away.
    apart = lipot.certify(linear_model([[1.0, 1.0], [0.0, 0.0]], [0.0, 1.0]), x)
    assert apart.radius[0] > 1e3
    constant = lipot.certify(linear_model([[0.0, 0.0], [0.0, 0.0]], [0.0, 1.0]), x)
    assert constant.radius[0] > 1e15
    assert constant.predictions[0] == 1


LABELS = {
    "class numbers": [2, 0, 1],
    "column": [[2], [0], [1]],
    "one-hot": np.eye(3)[[2, 0, 1]],
    "one-hot with -1": 2 * np.eye(3)[[2, 0, 1]] - 1,
    "floats": np.array([2.0, 0.0, 1.0], "float32"),
}


@pytest.mark.parametrize("form", LABELS)
def test_every_form_of_labels(form):
    model, x = linear_model(np.eye(3)), 5.0 * np.eye(3)[[2, 0, 0]]
    certificate = lipot.certify(model, x, LABELS[form])
    assert certificate.correct.tolist() == [True, True, False]
    assert certificate.accuracy(1.0) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "labels, word",
    [
        ([0, 1], "shape"),
        ([0, 1, 3], r"class numbers from 0 to 2. Received: values \[3\]"),
        ([0, 1, -1], "class numbers from 0 to 2"),
        ([0, 1, 0.5], "class numbers"),
        ([0, 1, np.nan], "finite numbers. Received: 1 NaN"),
        (["a", "b", "c"], "np.unique.*of names. Received: dtype <U1"),
        ([[1, 1, 0], [0, 0, 1], [1, 0, 0]], "single 1"),
        (np.full((3, 3), 0.3), "single 1"),
        (np.eye(4)[:3], "shape"),
    ],
)
def test_invalid_labels(labels, word):
    with pytest.raises(ValueError, match=f"argument `y`.*{word}"):
        lipot.certify(linear_model(np.eye(3)), np.eye(3), labels)


@pytest.mark.parametrize("labels", [[0, 2], [-1, 0], [0.2, 1.0]])
def test_invalid_binary_labels(labels):
    with pytest.raises(ValueError, match="argument `y`.*one output unit"):
        lipot.certify(linear_model([[1.0], [1.0]]), np.eye(2), labels)


@pytest.mark.parametrize(
    "x, word",
    [
        (np.full((2, 3), np.nan), "finite"),
        (np.full((2, 3), np.inf), "finite"),
        (np.ones((2, 4)), "shape"),
        (np.ones(3), "shape"),
        (np.ones((0, 3)), "at least one sample"),
        (np.array([["a", "b", "c"]]), "finite numbers"),
    ],
)
def test_invalid_inputs(x, word):
    with pytest.raises(ValueError, match=f"argument `x`.*{word}"):
        lipot.certify(linear_model(np.eye(3)), x)


@pytest.mark.parametrize(
    "last", [layers.ReLU(), layers.Activation("tanh"), layers.Dense(1, "relu")]
)
def test_one_output_that_is_not_linear_is_refused(last):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1), last])
    with pytest.raises(ValueError, match="one from a last layer that is linear.*Move what comes"):
        lipot.certify(model, np.ones((1, 3)))


def test_sigmoids_that_tie_and_logits_per_position_are_refused():
    with pytest.raises(ValueError, match="sigmoid of 3 units"):
        lipot.certify(linear_model(np.eye(3), activation="sigmoid"), np.eye(3))
    model = keras.Sequential([keras.Input((5, 3)), layers.Dense(4)])
    with pytest.raises(ValueError, match="logits of shape"):
        lipot.certify(model, np.ones((1, 5, 3)))


def test_weights_that_are_not_finite_are_named():
    model = linear_model([[1.0, np.nan], [0.0, 0.0]])
    with pytest.raises(ValueError, match="Expected finite weights.*kernel"):
        lipot.certify(model, np.ones((1, 2)))
    with pytest.raises(ValueError, match="Expected finite weights.*kernel"):
        lipot.lipschitz_constant(model)


def test_unbuilt_several_inputs_integer_inputs_and_batch_size():
    with pytest.raises(ValueError, match="not built"):
        lipot.certify(keras.Sequential([layers.Dense(3)]), np.ones((1, 3)))
    a, b = keras.Input((2,)), keras.Input((2,))
    model = keras.Model([a, b], layers.Dense(2)(layers.Add()([a, b])))
    with pytest.raises(ValueError, match="one input"):
        lipot.certify(model, np.ones((1, 2)))
    integers = keras.Sequential(
        [keras.Input((2,), dtype="uint8"), layers.Rescaling(1 / 255), layers.Dense(2)]
    )
    with pytest.raises(ValueError, match="floating point"):
        lipot.certify(integers, np.ones((1, 2)))
    with pytest.raises(ValueError, match="argument `batch_size`"):
        lipot.certify(linear_model(np.eye(2)), np.eye(2), batch_size=0)


def test_the_norm_is_the_fourth_argument_as_in_evaluate():
    found = lipot.certify(linear_model(np.eye(2)), [[3.0, 1.0]], [0], "linf")
    assert found.norm == "inf" and found.radius[0] == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(ValueError, match="argument `norm`"):
        lipot.certify(linear_model(np.eye(2)), np.eye(2), [0, 1], 256)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_overflow_certifies_nothing():
    model = linear_model(np.eye(2) * 1e30, before=[layers.Rescaling(1e15)])
    points = [[1e-5, 1.0], [1.0, 2.0], [1e30, 1.0]]
    assert lipot.certify(model, points).radius.tolist() == [0.0, 0.0, 0.0]


def test_accuracy_without_labels_and_with_a_negative_radius():
    certificate = lipot.certify(linear_model(np.eye(2)), np.eye(2))
    with pytest.raises(ValueError, match="labels"):
        certificate.accuracy(0.1)
    labelled = lipot.certify(linear_model(np.eye(2)), np.eye(2), [0, 1])
    with pytest.raises(ValueError, match="argument `eps`"):
        labelled.accuracy(-0.1)


def test_batches_do_not_change_the_certificate():
    x = np.random.default_rng(0).normal(size=(7, 3))
    model = linear_model(np.eye(3))
    whole, pieces = lipot.certify(model, x), lipot.certify(model, x, batch_size=2)
    np.testing.assert_allclose(whole.radius, pieces.radius, rtol=1e-6)


def test_a_certificate_describes_and_draws_itself():
    x = np.random.default_rng(0).normal(size=(50, 3))
    y = x.argmax(axis=1)
    certificate = lipot.certify(linear_model(np.eye(3)), x, y)
    assert len(certificate) == 50
    assert repr(certificate).startswith("<Certificate of 50 points, clean accuracy 100.00 %")
    summary = certificate.summary()
    assert "50 points, features 1-Lipschitz" in summary
    marks = [float(mark) for mark in re.findall(r"certified at ([\d.e+-]+):", summary)]
    np.testing.assert_allclose(marks, np.quantile(certificate.radius, [0.25, 0.5, 0.75]), rtol=0.05)
    assert "taken by floating point: 0.00" in summary
    # 0.025 ** (1 / 50)
    assert "clean accuracy: 100.00 % [92.89, 100.00]" in summary
    page = certificate._repr_html_()
    assert page.startswith("<table><caption>Certificate: 50 points, features 1-Lipschitz</caption>")
    assert "<th>clean accuracy</th><td>100.00 % [92.89, 100.00]</td>" in page
    line = certificate.plot(eps=[0.0, 0.5, 1.0]).lines[0]
    np.testing.assert_allclose(line.get_ydata(), 100 * certificate.accuracy([0.0, 0.5, 1.0]))
    axes = plt.figure().gca()
    assert certificate.plot(axes) is axes
    plt.close("all")
    assert repr(lipot.certify(linear_model(np.eye(3)), x)).startswith("<Certificate of 50 points,")


@pytest.mark.parametrize("scale", [1e-4, 1.0, 255.0])
def test_a_summary_speaks_of_radii_on_the_scale_of_those_found(scale):
    x = scale * np.random.default_rng(0).normal(size=(50, 3))
    certificate = lipot.certify(linear_model(np.eye(3)), x, x.argmax(axis=1))
    shares = re.findall(r"certified at [\d.e+-]+: ([\d.]+) %", certificate.summary())
    np.testing.assert_allclose([float(share) for share in shares], [75, 50, 25], atol=4)


def test_a_summary_of_nothing_proven_names_no_radius():
    certificate = lipot.certify(linear_model(np.zeros((2, 2))), np.eye(2), [0, 1])
    assert "certified at some radius: 0.00 %" in certificate.summary()
    assert "certified at 0" not in certificate.summary()


@pytest.mark.parametrize("stream", ["iterator", "dataset"])
def test_what_is_no_array_is_told_apart_from_an_array_of_another_shape(stream):
    x = np.eye(2, dtype="float32")
    given = iter(x) if stream == "iterator" else _Dataset(x)
    kind = type(given).__name__
    expected = f"`x`. Expected an array of inputs, .*DataLoader. Received: a {kind}"
    with pytest.raises(ValueError, match=expected):
        lipot.certify(linear_model(np.eye(2)), given)
    with pytest.raises(ValueError, match="`y`. Expected an array of labels. Received: a"):
        lipot.certify(linear_model(np.eye(2)), x, iter([0, 1]))


class _Dataset:
    """Like `tf.data.Dataset`: it yields batches and is no array."""

    def __init__(self, x):
        self._x = x

    def __iter__(self):
        return iter(self._x)


def test_certify_is_a_function():
    assert inspect.isfunction(lipot.certify)
    assert lipot.certify is lipot.certificates.certify


def test_at_equality_the_closed_ball_counts_and_an_attack_on_its_surface_fails():
    kernel = np.array([[1.0, -1.0], [0.0, 0.0]])
    model, x = linear_model(kernel), np.array([[0.5, 1.0], [0.0, 1.0], [-2.0, 1.0]], "float32")
    certificate = lipot.certify(model, x, [0, 0, 0])
    radius = certificate.radius[0]
    assert 0.0 < radius < 0.5 and certificate.radius[1] == 0.0
    assert certificate.accuracy(radius) == pytest.approx(1 / 3)
    assert certificate.accuracy(np.nextafter(radius, 1.0)) == 0.0
    # The second point is classified right, by a tie: nothing is proven of it, at 0 neither.
    assert certificate.correct.tolist() == [True, True, False]
    assert certificate.accuracy(0.0) == pytest.approx(1 / 3)
    on_the_surface = x[:1].astype("float64") - [[radius, 0.0]]
    assert model.predict(on_the_surface, verbose=0).argmax(axis=1).tolist() == [0]


@pytest.mark.parametrize("name", ["head_lipschitz", "nrom"])
def test_settings_of_another_model_are_refused(name):
    with pytest.raises(ValueError, match=f"argument `{name}` received.*Sequential"):
        lipot.certify(linear_model(np.eye(2)), np.eye(2), **{name: 2.0})


def test_an_embedding_classifier_is_sent_to_its_inference_model():
    model = lipot.models.OTClassifier(
        lipot.models.embedding_encoder((8, 8, 1), code_size=2, filters=4),
        lipot.models.embedding_classifier(code_size=2),
    )
    with pytest.raises(ValueError, match=r"Certify model.inference_model\(\)"):
        lipot.certify(model, np.zeros((2, 8, 8, 1)))
    assert len(lipot.certify(model.inference_model(), np.zeros((2, 8, 8, 1)))) == 2


def test_radii_in_words_are_refused():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    certificate = lipot.certify(model, np.ones((2, 2)), [0, 1])
    for eps in ("0.1", "a", [None]):
        with pytest.raises(ValueError, match="`eps`. Expected nonnegative numbers"):
            certificate.accuracy(eps)
