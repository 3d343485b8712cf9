"""Linear maps against their explicit matrices: norms by NumPy's SVD, on sizes known and unknown."""

import keras
import numpy as np
import pytest

from lipot import backend
from lipot.math import linear_maps
from lipot.math.precision import widest_float
from tests.helpers import convolves_channels_first, to_numpy

# Of convolutions in float32, which some tests have to use.
ERROR = 3e-6
MAPS = [
    (linear_maps.Dense(3), (5,)),
    (linear_maps.Dense(7), (2, 5)),
    (linear_maps.Conv2D(3, 3), (5, 4, 2)),
    (linear_maps.Conv2D(4, (2, 3), (2, 1), "valid", groups=2), (5, 6, 2)),
    (linear_maps.Conv2D(3, 3, dilation_rate=2), (6, 5, 2)),
    (linear_maps.Conv2D(3, 3, 2, "reflect"), (5, 4, 2)),
    (linear_maps.Conv2D(3, (2, 3), padding="symmetric"), (4, 5, 2)),
    (linear_maps.Conv2D(3, 3, padding="circular"), (5, 4, 2)),
    (linear_maps.Conv2D(3, 2, padding="circular"), (4, 3, 2)),
    (linear_maps.Conv2D(3, 3, padding="constant"), (4, 3, 2)),
    (linear_maps.ClosedConv2D(4, 4, 2, "circular"), (4, 6, 2)),
    (linear_maps.ClosedConv2D(4, 3, groups=2), (5, 4, 2)),
    (linear_maps.Conv1D(4, 3, padding="circular"), (6, 2)),
    (linear_maps.Conv2DTranspose(2, 3, 2), (3, 4, 3)),
    (linear_maps.Conv2DTranspose(2, (3, 2), padding="valid"), (3, 4, 3)),
    (linear_maps.ClosedConv2DTranspose(2, 4, 2, "circular"), (3, 2, 3)),
    (linear_maps.SkewExponential(3, 3, padding="circular", factor=0.5), (4, 3, 2)),
    (linear_maps.SkewExponential(2, 3, (2, 1), terms=4), (4, 3, 2)),
]
if convolves_channels_first():
    MAPS += [
        (linear_maps.Conv2D(2, 3, data_format="channels_first"), (2, 5, 2)),
        (linear_maps.Conv1D(4, 3, 2, "valid", data_format="channels_first"), (2, 9)),
    ]
IDS = [f"{type(linear_map).__name__}{index}" for index, (linear_map, _) in enumerate(MAPS)]
LINEAR_IN_THE_KERNEL = [
    (m, shape) for m, shape in MAPS if not isinstance(m, linear_maps.SkewExponential)
]
NORMALIZED_IN_THE_GRAPH = [
    (m, shape)
    for m, shape in MAPS
    if type(m) in (linear_maps.Conv2D, linear_maps.Conv2DTranspose)
    and m.dilation_rate == (1, 1)
    and getattr(m, "groups", 1) == 1
]


def random_kernel(linear_map, shape, seed=0):
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=linear_map.kernel_shape((None, *shape))) + 0.3
    if isinstance(linear_map, linear_maps.SkewExponential):
        kernel = 0.1 * (kernel - kernel[::-1, ::-1].transpose(0, 1, 3, 2))
    return kernel


def matrix_of(linear_map, kernel, shape):
    basis = np.eye(int(np.prod(shape))).reshape(-1, *shape)
    # On a CPU, TensorFlow convolves images with the channels first in compiled code alone.
    first = getattr(linear_map, "data_format", None) == "channels_first"
    dtype = "float32" if first else widest_float()
    apply = backend.compile(linear_map.apply) if first else linear_map.apply
    arguments = (keras.ops.convert_to_tensor(value, dtype) for value in (basis, kernel))
    outputs = to_numpy(apply(*arguments)).astype("float64")
    assert outputs.shape == linear_map.output_shape((len(basis), *shape))
    return outputs.reshape(len(basis), -1)


@pytest.mark.parametrize("linear_map, shape", MAPS, ids=IDS)
def test_the_norm_is_above_the_largest_singular_value(linear_map, shape):
    for seed in range(3):
        kernel = random_kernel(linear_map, shape, seed)
        largest = np.linalg.norm(matrix_of(linear_map, kernel, shape), 2)
        known = linear_map.norm(kernel, (None, *shape))
        assert largest <= known * (1 + ERROR)
        assert known <= 5.0 * largest
        if hasattr(linear_map, "image_size"):
            axes = [a for a, n in enumerate(shape) if n > 3 or a in (0, 1)]
            unknown = tuple(
                None if axis in axes and n != linear_map.channels((None, *shape)) else n
                for axis, n in enumerate(shape)
            )
            closed = getattr(linear_map, "padding", None) == "circular" and 2 in np.ravel(
                linear_map.strides
            )
            if not closed:
                assert largest <= linear_map.norm(kernel, (None, *unknown)) * (1 + ERROR)


@pytest.mark.parametrize("linear_map, shape", LINEAR_IN_THE_KERNEL)
def test_the_error_norm_covers_every_change_of_the_kernel(linear_map, shape):
    for seed in range(3):
        kernel = random_kernel(linear_map, shape, seed)
        largest = np.linalg.norm(matrix_of(linear_map, kernel, shape), 2)
        allowed = linear_map.error_norm((None, *shape)) * np.linalg.norm(kernel)
        assert largest <= allowed * (1 + ERROR)


@pytest.mark.parametrize("linear_map, shape", LINEAR_IN_THE_KERNEL)
def test_partial_sums_are_as_large_as_the_bound_says(linear_map, shape):
    """Each half of the terms of every output is a partial sum in some order."""
    kernel = random_kernel(linear_map, shape)
    bound = linear_map.bound(kernel, (None, *shape))
    largest = np.linalg.norm(matrix_of(linear_map, kernel, shape), 2)
    assert largest <= bound.gain * (1 + ERROR)
    rng = np.random.default_rng(0)
    for _ in range(5):
        half = kernel * rng.integers(0, 2, size=(*kernel.shape[:-1], 1))
        partial = np.linalg.norm(matrix_of(linear_map, half, shape), 2)
        assert partial <= bound.gain * (1 + ERROR)


@pytest.mark.parametrize(
    "linear_map, shape",
    NORMALIZED_IN_THE_GRAPH,
)
def test_the_bound_in_the_graph_is_that_in_numpy(linear_map, shape):
    kernel = random_kernel(linear_map, shape)
    in_graph = float(linear_map.gram_bound(keras.ops.cast(kernel, "float32"), (None, *shape)))
    assert linear_map.norm(kernel, (None, *shape)) <= in_graph * (1 + 1e-5)
    # On a small image the matrix itself knows more, most of it about values that are repeated.
    assert in_graph <= 2.0 * linear_map.norm(kernel, (None, *shape))


def test_transposed_maps_are_adjoints():
    kernel = np.random.default_rng(0).normal(size=(4, 4, 2, 3))
    forward = matrix_of(linear_maps.ClosedConv2D(3, 4, 2, "circular"), kernel, (6, 4, 2))
    backward = matrix_of(linear_maps.ClosedConv2DTranspose(2, 4, 2, "circular"), kernel, (3, 2, 3))
    np.testing.assert_allclose(forward, backward.T, atol=1e-12)


@pytest.mark.parametrize(
    "make, word",
    [
        (lambda: linear_maps.Conv2D(0, 3), "`filters`.*positive integer"),
        (lambda: linear_maps.Conv2D(3, (1, 2, 3)), "`kernel_size`"),
        (lambda: linear_maps.Conv2D(3, 3, padding="full"), "`padding`.*Expected one of"),
        (lambda: linear_maps.Conv2D(3, 3, groups=2), "`groups`.*divisor"),
        (lambda: linear_maps.Conv2D(3, 3, data_format="nhwc"), "`data_format`"),
        (lambda: linear_maps.ClosedConv2D(3, 3, padding="reflect"), "`padding`.*orthogonal"),
        (lambda: linear_maps.Conv2DTranspose(3, 3, padding="circular"), "`padding`"),
        (lambda: linear_maps.Conv2DTranspose(3, 3, output_padding=1), "`output_padding`"),
        (lambda: linear_maps.SkewExponential(3, 2), "`kernel_size`.*odd"),
        (lambda: linear_maps.undilated(2), "`dilation_rate`"),
        (lambda: linear_maps.Conv2D(2, 5, padding="valid").check((None, 4, 6, 1)), "fits"),
        (lambda: linear_maps.ClosedConv2D(2, 5, padding="valid").check((None, 6, 4, 1)), "fits"),
        (lambda: linear_maps.Conv1D(2, 5, padding="valid").check((None, 4, 1)), "fits"),
        (lambda: linear_maps.Conv2D(2, 9, padding="reflect").check((None, 4, 4, 1)), "twice"),
        (lambda: linear_maps.Conv2D(2, 3).check((None, 4, 4, None)), "fixed number"),
        (lambda: linear_maps.Dense(2).check((None, None)), "fixed number"),
    ],
)
def test_errors(make, word):
    with pytest.raises(ValueError, match=f"(?s){word}"):
        make()
