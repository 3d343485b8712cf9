import keras
import numpy as np
import pytest

from lipot.losses import CertificateRegularizedCrossentropy

SCORES = np.array([[2.0, -1.0, 0.5], [0.0, 1.0, 3.0], [1.0, 1.5, -2.0]])
LABELS = np.eye(3)[[0, 1, 1]]


def by_hand(gamma, lipschitz):
    found = []
    for scores, label in zip(SCORES, LABELS.argmax(axis=1)):
        others = np.delete(scores, label)
        radius = max(0.0, scores[label] - others.max()) / (np.sqrt(2.0) * lipschitz)
        found.append(np.log(np.sum(np.exp(scores))) - scores[label] - gamma * radius)
    return np.array(found)


@pytest.mark.parametrize(("gamma", "lipschitz"), [(0.5, 1.0), (2.0, 3.0), (0.0, 1.0)])
def test_the_value_by_hand(gamma, lipschitz):
    loss = CertificateRegularizedCrossentropy(gamma, lipschitz, reduction="none")
    np.testing.assert_allclose(loss(LABELS, SCORES), by_hand(gamma, lipschitz), rtol=1e-5)


def test_a_sure_sample_is_still_pushed_and_a_wrong_one_as_by_the_crossentropy():
    """Slopes by differences: of a true logit far ahead, and of one that is behind."""
    loss = CertificateRegularizedCrossentropy(gamma=0.5)

    def slope(ahead):
        values = [float(loss(LABELS[:1], np.array([[z, 0.0, -9.0]]))) for z in (ahead, ahead + 0.5)]
        return (values[1] - values[0]) / 0.5

    assert slope(30.0) == pytest.approx(-0.5 / np.sqrt(2.0), rel=1e-3)
    plain = keras.losses.CategoricalCrossentropy(from_logits=True)
    values = [float(plain(LABELS[:1], np.array([[z, 0.0, -9.0]]))) for z in (-2.0, -1.5)]
    assert slope(-2.0) == pytest.approx((values[1] - values[0]) / 0.5, rel=1e-4)
