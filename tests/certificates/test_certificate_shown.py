"""What a certificate says of itself in words and curves, and what it refuses to."""

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
from keras import layers

import lipot


def test_a_model_that_never_changes_its_mind_is_described_without_a_warning(recwarn):
    constant = lipot.certificates.Certificate(
        radius=np.array([np.inf, np.inf]),
        rounding=np.array([np.inf, 0.0]),
        predictions=np.array([0, 0]),
        correct=None,
        lipschitz=0.0,
        proof="none of its outputs moves",
    )
    assert "taken by floating point" not in constant.summary()
    assert not [warning for warning in recwarn if warning.category is RuntimeWarning]


def test_a_certificate_is_drawn_up_to_a_radius():
    certificate = lipot.certify(_plane(), 3.0 * np.eye(2), [0, 1])
    ax = certificate.plot(eps=0.1)
    assert ax.get_xlim() == (0.0, 0.1)
    plt.close(ax.figure)
    with pytest.raises(ValueError, match="`values`"):
        certificate.in_linf(0)


def _plane():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2)])
    model.layers[0].set_weights([np.eye(2), np.zeros(2)])
    return model
