"""Linear maps of users, which take their bounds from one of lipot or state them."""

import numpy as np
import pytest

import lipot
from lipot.layers import parametrizations
from lipot.layers.kernel_layer import KernelLayer
from lipot.math import linear_maps
from tests.certificates.test_false_promises import OfItsOwnMap, TripledMap, model_of
from tests.helpers import to_numpy


class NormAlone(linear_maps.Dense):
    def apply(self, inputs, kernel):
        return 3.0 * super().apply(inputs, kernel)

    def norm(self, kernel, input_shape):
        return 3.0 * super().norm(kernel, input_shape)


class OfANormAlone(KernelLayer):
    def __init__(self, units):
        super().__init__(
            NormAlone(units), parametrizations.Spectral(), kernel_initializer="orthogonal"
        )


def test_a_map_that_states_its_norm_alone_has_no_bound_and_no_stock_twin():
    # Its sums are those of another map, and with them the constant in l-infinity and the rounding.
    model = model_of(OfANormAlone(4))
    with pytest.raises(ValueError, match="NormAlone overrides `apply` of Dense.*`norm`, `sums`"):
        lipot.lipschitz_constant(model)
    with pytest.raises(TypeError, match="No stock layer is known for the map NormAlone"):
        model.layers[-1].vanilla_export()


class Ninefold(TripledMap):
    def apply(self, inputs, kernel):
        return 3.0 * super().apply(inputs, kernel)


def test_a_map_below_one_that_states_its_bounds_has_none():
    layer = KernelLayer(Ninefold(4), parametrizations.Spectral(), kernel_initializer="orthogonal")
    with pytest.raises(ValueError, match="Ninefold overrides `apply` of TripledMap"):
        lipot.lipschitz_constant(model_of(layer))


def test_a_map_of_ones_own_is_certified_by_its_constant_alone():
    model = model_of(OfItsOwnMap(2))
    assert lipot.lipschitz_constant(model, norm="inf") > lipot.lipschitz_constant(model) / 2
    x = np.ones((1, 4), "float32")
    low, high = np.sort(to_numpy(model(x))[0])
    found = lipot.certify(model, x)
    proven = (high - low) / (np.sqrt(2.0) * lipot.lipschitz_constant(model))
    np.testing.assert_allclose(found.radius + found.rounding, proven, rtol=1e-6)
