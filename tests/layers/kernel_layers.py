"""Every public layer with a constrained kernel, found by enumeration, and small cases of each."""

import inspect

from lipot import layers
from lipot.layers.parametrized_layer import ParametrizedLayer

IMAGE, SEQUENCE, VECTOR = (6, 5, 4), (7, 4), (5,)
# Arguments and shape of one sample, more than one where the arguments change what is computed.
CASES = {
    "FrobeniusConv2D": [((3, 3), {}, IMAGE), ((3, 2), {"padding": "reflect"}, IMAGE)],
    "FrobeniusDense": [((3,), {}, VECTOR), ((3,), {"disjoint_neurons": False}, VECTOR)],
    "OrthogonalConv1D": [((6, 3), {}, SEQUENCE), ((6, 3), {"padding": "circular"}, SEQUENCE)],
    "OrthogonalConv2D": [
        ((6, 3), {}, IMAGE),
        ((6, 2), {"strides": (2, 1), "padding": "valid"}, IMAGE),
        ((8, 3), {"groups": 4}, IMAGE),
        ((6, 3), {"padding": "circular", "orthogonalizer": "cholesky"}, IMAGE),
    ],
    "OrthogonalConv2DTranspose": [
        ((3, 2), {"strides": 2}, IMAGE),
        ((3, 4), {"strides": 2, "padding": "circular"}, IMAGE),
    ],
    "SDPResidualConv2D": [((5, 3), {}, IMAGE), ((5, 3), {"padding": "circular"}, IMAGE)],
    "SDPResidualDense": [((7,), {}, VECTOR)],
    "SkewOrthogonalConv2D": [((4, 3), {}, IMAGE), ((3, 3), {"padding": "circular"}, IMAGE)],
    "SpectralConv2D": [
        ((3, 3), {}, IMAGE),
        ((3, 2), {"strides": 2, "padding": "symmetric"}, IMAGE),
        ((3, 3), {"padding": "circular", "orthogonalizer": "bjorck"}, IMAGE),
        ((3, 3), {"normalization": "average"}, IMAGE),
    ],
    "SpectralConv2DTranspose": [((3, 3), {"strides": 2}, IMAGE)],
    "SpectralDense": [
        ((4,), {"activation": "relu"}, VECTOR),
        ((8,), {"eps_bjorck": None, "k_coef_lip": 2.0}, VECTOR),
    ],
}


def kernel_layers():
    """Names of the public layers whose kernel comes from a parametrization."""
    return sorted(
        name
        for name, value in vars(layers).items()
        if inspect.isclass(value) and issubclass(value, ParametrizedLayer)
    )


def cases():
    """Yields `(class, arguments, options, shape)` for each small case of each layer."""
    missing = set(kernel_layers()) - set(CASES)
    assert not missing, f"Add cases of {sorted(missing)} to tests/layers/kernel_layers.py."
    for name in kernel_layers():
        for arguments, options, shape in CASES[name]:
            yield getattr(layers, name), arguments, options, shape
