"""Triplet and contrastive losses against loops over pairs."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from lipot.losses import ContrastiveLoss, TripletLoss
from tests.helpers import check_serializable


def sample():
    rng = np.random.default_rng(0)
    return np.array([0, 1, 0, 2, 1, 0, 3]), rng.normal(size=(7, 3)).astype("float32")


def distances(codes):
    return np.linalg.norm(codes[:, None] - codes[None], axis=2)


def test_triplet_is_the_loop_over_all_triplets():
    labels, codes = sample()
    apart, expected = distances(codes), []
    for a in range(7):
        same = [p for p in range(7) if p != a and labels[p] == labels[a]]
        other = [n for n in range(7) if labels[n] != labels[a]]
        costs = [max(0.0, 0.7 + apart[a, p] - apart[a, n]) for p in same for n in other]
        expected.append(np.mean(costs) if costs else 0.0)
    found = TripletLoss(0.7, reduction=None)(labels, codes)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("triplets", ["all", "hardest"])
def test_triplets_of_any_size_by_hand(triplets):
    codes = 1e5 * np.array([[0.0], [1.0], [3.0], [7.0]])
    found = TripletLoss(1.0, triplets, reduction=None)(np.array([0, 0, 1, 2]), codes)
    # The first two are at 1 from each other and at 2 and more from the others, which are alone.
    np.testing.assert_allclose(found, [0.0, 0.0, 0.0, 0.0])
    found = TripletLoss(1.0, triplets, reduction=None)(np.array([0, 1, 0, 1]), codes)
    # One positive and two negatives for each: at 3 against 1 and 7, at 6 against 1 and 2, ...
    hardest = 1.0 + 1e5 * np.array([3.0 - 1.0, 6.0 - 1.0, 3.0 - 2.0, 6.0 - 4.0])
    easier = np.array([0.0, 1.0 + 1e5 * (6.0 - 2.0), 0.0, 0.0])
    expected = hardest if triplets == "hardest" else (hardest + easier) / 2
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def small_network():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(16),
        ]
    )


def test_codes_do_not_collapse_by_default():
    """On noisy digits, which a fresh network does not separate: where the hardest triplets do."""
    x, labels = load_digits(return_X_y=True)
    noise = 0.6 * np.random.default_rng(0).normal(size=x.shape)
    x = (x / 16 + noise).astype("float32").reshape(-1, 8, 8, 1)
    network = small_network()

    def judge():
        codes = network.predict(x, batch_size=512, verbose=0)
        neighbors = KNeighborsClassifier(10).fit(codes[:1000], labels[:1000])
        return neighbors.score(codes[1000:], labels[1000:]), distances(codes[:200]).mean()

    untrained, _ = judge()
    network.compile(keras.optimizers.Adam(0.01), TripletLoss(), jit_compile=False)
    network.fit(x[:1000], labels[:1000], epochs=6, batch_size=64, verbose=0)
    trained, apart = judge()
    assert apart > 0.5
    assert trained > untrained + 0.1


def test_triplets_of_the_hardest_are_the_loop_over_anchors():
    labels, codes = sample()
    apart, expected = distances(codes), []
    for a in range(7):
        same = [apart[a, p] for p in range(7) if p != a and labels[p] == labels[a]]
        other = [apart[a, n] for n in range(7) if labels[n] != labels[a]]
        expected.append(max(0.0, 0.7 + max(same) - min(other)) if same else 0.0)
    found = TripletLoss(0.7, triplets="hardest", reduction=None)(labels, codes)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_contrastive_is_the_loop_over_pairs():
    labels, codes = sample()
    apart, expected = distances(codes), []
    for a in range(7):
        same = [apart[a, p] ** 2 for p in range(7) if p != a and labels[p] == labels[a]]
        other = [max(0, 1.5 - apart[a, n]) ** 2 for n in range(7) if labels[n] != labels[a]]
        expected.append(0.5 * (np.mean(same) if same else 0.0) + 0.5 * np.mean(other))
    found = ContrastiveLoss(1.5, reduction=None)(labels, codes)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    "loss", [TripletLoss(0.3), TripletLoss(0.3, "hardest"), ContrastiveLoss(2.0)]
)
def test_trains_codes_that_separate_the_classes(loss):
    check_serializable(loss)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 64)
    x = rng.normal(size=(64, 5)).astype("float32")
    x[:, 0] = 0.3 * (2 * labels - 1)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.05), loss)
    model.fit(x, labels, epochs=40, batch_size=64, verbose=0)
    apart = distances(model.predict(x, verbose=0))
    np.fill_diagonal(apart, np.inf)
    assert np.mean(labels[np.argmin(apart, axis=1)] == labels) > 0.9


def test_one_class_alone_costs_nothing_and_stays_finite():
    codes = np.zeros((4, 2), "float32")
    assert float(TripletLoss()(np.zeros(4), codes)) == 0.0
    assert abs(float(ContrastiveLoss()(np.zeros(4), codes))) < 1e-6


@pytest.mark.parametrize("loss", [TripletLoss(), ContrastiveLoss()])
def test_labels_are_class_numbers_of_codes(loss):
    codes, labels = np.random.default_rng(0).normal(size=(6, 3)), np.arange(6) % 2
    assert float(loss(labels[:, None], codes)) == float(loss(labels, codes))
    with pytest.raises(ValueError, match="class numbers of shape.*not one-hot"):
        loss(np.eye(2)[labels], codes)
    with pytest.raises(ValueError, match="`y_pred`.*outputs"):
        loss(labels, codes[:, None])


def test_margins_are_positive():
    with pytest.raises(ValueError, match="`triplets`"):
        TripletLoss(triplets="softest")
    for loss in (TripletLoss, ContrastiveLoss):
        with pytest.raises(ValueError, match="`margin`"):
            loss(margin=0.0)


@pytest.mark.parametrize("loss", [TripletLoss(0.5), ContrastiveLoss(1.0)])
def test_the_loss_is_the_same_far_from_the_origin_and_in_half_precision(loss):
    codes = np.array([[0, 0], [0.25, 0], [0, 0.5], [0.25, 0.5]], "float32")
    labels = np.array([0, 0, 1, 1])
    expected = float(loss(labels, codes))
    np.testing.assert_allclose(float(loss(labels, codes + 3000.0)), expected, rtol=1e-3)
    # Squares of codes of this length are beyond float16.
    long = np.asarray(400.0 * codes, "float16")
    wide = float(loss(labels, long.astype("float32")))
    assert np.isfinite(wide)
    np.testing.assert_allclose(float(loss(labels, long)), wide, rtol=1e-5)


@pytest.mark.parametrize("kind", [TripletLoss, ContrastiveLoss])
def test_the_dtype_is_that_of_the_computation_and_is_saved(kind):
    loss = kind(dtype="float64")
    assert kind.from_config(loss.get_config()).dtype == "float64"
    assert keras.backend.standardize_dtype(kind()(*sample()).dtype) == "float32"


@pytest.mark.parametrize("loss_class", [TripletLoss, ContrastiveLoss])
def test_labels_and_codes_may_be_lists(loss_class):
    codes, labels = [[0.0], [1.0], [1.5], [2.5]], [0, 0, 1, 1]
    expected = loss_class()(np.array(labels), np.array(codes, "float32"))
    assert float(loss_class()(labels, codes)) == pytest.approx(float(expected))
