import numpy as np
import pytest
from keras import ops

from lipot import backend
from lipot.math import divergences

LOGITS = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
OTHER = np.random.default_rng(1).normal(size=(5, 3)).astype("float32")


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def softmax(z):
    return np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("y", [[2, 0], [[2], [0]], [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]])
def test_labels_of_every_form_become_one_hot(y):
    labels = numpy(divergences.one_hot_labels(np.array(y), 3))
    np.testing.assert_array_equal(labels, [[0, 0, 1], [1, 0, 0]])


@pytest.mark.parametrize("y", [[0, 3, -1], [1.0, 0.5, 1.9], [2.0, np.nan, np.inf]])
def test_label_that_is_no_class_is_nan_in_its_row_alone(y):
    labels = numpy(divergences.one_hot_labels(np.array(y), 3))
    assert np.isnan(labels[1:]).all() and np.isfinite(labels[0]).all()


def test_labels_of_wrong_width_are_refused():
    with pytest.raises(ValueError, match="argument `y`"):
        divergences.one_hot_labels(np.zeros((2, 4)), 3)


def test_crossentropy_and_kl_equal_scipy():
    stats = pytest.importorskip("scipy.stats")
    labels = np.eye(3, dtype="float32")[[0, 1, 2, 0]]
    p, q = softmax(LOGITS), softmax(OTHER[:4])
    np.testing.assert_allclose(
        numpy(divergences.crossentropy(*map(ops.convert_to_tensor, (labels, LOGITS)))),
        -np.log(p[np.arange(4), [0, 1, 2, 0]]),
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        numpy(divergences.kl_divergence(LOGITS, OTHER[:4])),
        stats.entropy(p, q, axis=1),
        rtol=1e-4,
    )


def test_pairwise_costs_equal_scipy():
    cdist = pytest.importorskip("scipy.spatial.distance").cdist
    entropy = pytest.importorskip("scipy.stats").entropy
    p, q = softmax(LOGITS), softmax(OTHER)
    expected = {
        divergences.cosine_cost: cdist(LOGITS, OTHER, "cosine"),
        divergences.euclidean_cost: cdist(LOGITS, OTHER, "euclidean"),
        divergences.squared_euclidean_cost: cdist(LOGITS, OTHER, "sqeuclidean"),
        divergences.l1_cost: cdist(p, q, "cityblock"),
        divergences.kl_cost: [[entropy(a, b) for b in q] for a in p],
    }
    for cost, value in expected.items():
        np.testing.assert_allclose(numpy(cost(LOGITS, OTHER)), value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "cost", [divergences.cosine_cost, divergences.euclidean_cost, divergences.l1_cost]
)
def test_gradients_are_finite_at_equal_and_at_zero_points(cost):
    x = np.zeros((3, 4), "float32")
    value, gradient = backend.value_and_input_gradient(lambda z: ops.sum(cost(z, z)), x)
    assert np.isfinite(float(value)) and np.isfinite(numpy(gradient)).all()


def test_a_zero_row_has_no_slope():
    # A bias in front of features that are all zero would take the whole step there.
    x = np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 2.0]], "float32")
    _, gradient = backend.value_and_input_gradient(
        lambda z: ops.sum(divergences.cosine_cost(z, OTHER)), ops.convert_to_tensor(x)
    )
    gradient = numpy(gradient)
    assert not gradient[0].any() and 0.1 < np.abs(gradient[1]).max() < 10.0


@pytest.mark.parametrize(
    "cost", [divergences.cosine_cost, divergences.euclidean_cost, divergences.l1_cost]
)
def test_a_row_that_is_no_number_costs_none(cost):
    x = np.array([[np.nan, 0.0, 0.0], [1.0, 2.0, 2.0]], "float32")
    assert np.isnan(numpy(cost(x, OTHER))).any(axis=1).tolist() == [True, False]
