"""The public layers with a kernel of inference, with arguments and an input shape for each."""

from lipot import layers

# Arguments and input shape; the first case of each class is its plainest.
CASES = {
    "SpectralDense": [
        ({"units": 5, "activation": "relu"}, (6,)),
        ({"units": 8, "orthogonalizer": "bjorck", "k_coef_lip": 0.5}, (6,)),
        ({"units": 4, "orthogonalizer": "cholesky", "use_bias": False}, (3, 6)),
        ({"units": 4, "eps_bjorck": None}, (6,)),
    ],
    "SpectralConv2D": [
        ({"filters": 4, "kernel_size": 3}, (5, 5, 2)),
        ({"filters": 4, "kernel_size": 2, "strides": 2, "padding": "valid"}, (6, 6, 2)),
        ({"filters": 4, "kernel_size": 3, "padding": "circular", "k_coef_lip": 2.0}, (5, 5, 2)),
        ({"filters": 4, "kernel_size": 3, "padding": "reflect"}, (5, 5, 2)),
        ({"filters": 4, "kernel_size": 3, "padding": "symmetric", "strides": 2}, (6, 6, 2)),
        ({"filters": 4, "kernel_size": 3, "padding": "constant"}, (5, 5, 2)),
        ({"filters": 4, "kernel_size": 3, "orthogonalizer": "bjorck"}, (5, 5, 2)),
        ({"filters": 4, "kernel_size": 3, "orthogonalizer": "cholesky"}, (5, 5, 2)),
        ({"filters": 4, "kernel_size": 3, "normalization": "average"}, (5, 5, 2)),
    ],
    "SpectralConv2DTranspose": [
        ({"filters": 3, "kernel_size": 3, "strides": 2}, (4, 4, 4)),
        ({"filters": 3, "kernel_size": 2, "padding": "valid", "use_bias": False}, (4, 4, 4)),
        ({"filters": 3, "kernel_size": 3, "orthogonalizer": "bjorck"}, (4, 4, 4)),
    ],
    "FrobeniusDense": [
        ({"units": 5}, (6,)),
        ({"units": 5, "disjoint_neurons": False, "k_coef_lip": 2.0}, (6,)),
    ],
    "FrobeniusConv2D": [
        ({"filters": 4, "kernel_size": 3}, (5, 5, 2)),
        ({"filters": 4, "kernel_size": 3, "strides": 2, "padding": "reflect"}, (6, 6, 2)),
    ],
    "PadConv2D": [
        ({"filters": 4, "kernel_size": 3}, (5, 5, 2)),
        ({"filters": 4, "kernel_size": 3, "strides": 2, "padding": "symmetric"}, (6, 6, 2)),
        ({"filters": 4, "kernel_size": 3, "padding": "circular"}, (5, 5, 2)),
    ],
    "OrthogonalConv1D": [
        ({"filters": 4, "kernel_size": 3}, (6, 4)),
        ({"filters": 8, "kernel_size": 2, "strides": 2, "padding": "valid"}, (6, 4)),
        ({"filters": 4, "kernel_size": 3, "dilation_rate": 2, "padding": "circular"}, (8, 4)),
    ],
    "OrthogonalConv2D": [
        ({"filters": 8, "kernel_size": 3}, (6, 6, 4)),
        ({"filters": 8, "kernel_size": 2, "strides": 2, "padding": "valid"}, (6, 6, 4)),
        ({"filters": 4, "kernel_size": 3, "padding": "circular", "k_coef_lip": 0.5}, (6, 6, 4)),
        ({"filters": 4, "kernel_size": 3, "padding": "constant", "groups": 2}, (6, 6, 4)),
        ({"filters": 4, "kernel_size": 3, "orthogonalizer": "bjorck"}, (6, 6, 4)),
        ({"filters": 4, "kernel_size": 3, "orthogonalizer": "cholesky"}, (6, 6, 4)),
    ],
    "OrthogonalConv2DTranspose": [
        ({"filters": 4, "kernel_size": 2, "strides": 2}, (3, 3, 8)),
        ({"filters": 4, "kernel_size": 3, "padding": "circular"}, (4, 4, 4)),
        ({"filters": 4, "kernel_size": 3, "padding": "valid"}, (4, 4, 4)),
    ],
    "SkewOrthogonalConv2D": [
        ({"filters": 4, "kernel_size": 3}, (5, 5, 2)),
        ({"filters": 4, "kernel_size": 3, "strides": 2, "padding": "circular"}, (6, 6, 2)),
    ],
    "SDPResidualDense": [
        ({"units": 5}, (6,)),
        ({"units": 7, "k_coef_lip": 0.5}, (6,)),
    ],
    "SDPResidualConv2D": [
        ({"filters": 4, "kernel_size": 3}, (5, 5, 2)),
        ({"filters": 4, "kernel_size": 3, "padding": "circular"}, (5, 5, 2)),
    ],
}


def kernel_layers():
    """Names of the public layers with a kernel of inference."""
    return [
        name
        for name, value in vars(layers).items()
        if isinstance(value, type) and hasattr(value, "inference_kernel")
    ]
