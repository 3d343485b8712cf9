"""Attacks on a stated Lipschitz bound: Jacobians at nasty points, and pairs sought by ascent."""

import numpy as np
from keras import ops

from lipot.backend import value_and_input_gradient, vjp
from lipot.math.precision import widest_float

# What a layer declared float64 rounds at most: Keras casts some of its work to float32 on JAX and
# PyTorch.
ROUNDING = 1e-12 if widest_float() == "float64" else 2e-6


def nasty_points(shape, seed=0):
    """Inputs of one `shape` where a bound is likely to break, stacked on the first axis.

    Zeros, constants, ties, single values (corners included), very small and very large inputs.
    """
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    ties = rng.integers(-1, 2, size=(6, size))
    places = np.concatenate([[0, size - 1], rng.integers(0, size, 6)])
    noise = rng.normal(size=(8, size))
    points = [np.zeros((1, size)), np.ones((1, size)), -np.ones((1, size)), ties]
    points += [np.eye(size)[places], noise, 1e-7 * noise[:2], 1e3 * noise[:2], np.abs(noise[:2])]
    return np.concatenate(points).reshape(-1, *shape)


def jacobians(layer, points):
    """Jacobian matrices `(points, outputs, inputs)` of a layer, a row for each basis cotangent."""
    points = np.asarray(points)
    size = int(np.prod(layer.compute_output_shape(points.shape)[1:]))
    inputs = np.repeat(points, size, axis=0).astype(layer.compute_dtype)

    def every_row(outputs):
        basis = np.tile(np.eye(size), (len(points), 1))
        return ops.reshape(ops.convert_to_tensor(basis), ops.shape(outputs))

    _, rows = vjp(layer, inputs, every_row)
    return np.asarray(ops.convert_to_numpy(rows), "float64").reshape(len(points), size, -1)


def largest_jacobian_norm(layer, shape):
    """Largest spectral norm of the Jacobian over the nasty points."""
    return np.linalg.norm(jacobians(layer, nasty_points(shape)), 2, axis=(1, 2)).max()


def largest_ratio(layer, shape, *, radii=(0.1, 10.0), steps=15, seed=0):
    """Largest `|f(x) - f(y)| / |x - y|` that gradient ascent on both points finds.

    Use a float64 layer: in float32 the rounding of close points exceeds what is measured.
    """
    rng = np.random.default_rng(seed)
    starts = np.tile(nasty_points(shape, seed), (len(radii),) + (1,) * len(shape))
    offsets = rng.normal(size=starts.shape)
    radii = np.repeat(radii, len(starts) // len(radii)).reshape((-1,) + (1,) * len(shape))
    offsets *= radii / _norms(offsets)
    pairs = np.concatenate([starts, starts + offsets]).astype(layer.compute_dtype)
    step = np.concatenate([radii, radii]) * 0.3

    def ratios(pairs):
        change = layer(pairs)
        moved = _tensor_norms(_difference(change))
        if widest_float() != "float64":
            # Less what rounding may have added, which for large and close points is much.
            rounding = ROUNDING * sum(map(_tensor_norms, ops.split(change, 2, axis=0)))
            moved = moved - ops.stop_gradient(rounding)
        return moved / _tensor_norms(_difference(pairs))

    best = 0.0
    for _ in range(steps):
        best = max(best, float(ops.max(ratios(ops.convert_to_tensor(pairs)))))
        _, gradient = value_and_input_gradient(lambda x: ops.sum(ratios(x)), pairs)
        gradient = np.asarray(ops.convert_to_numpy(gradient))
        assert np.all(np.isfinite(gradient))
        pairs = pairs + step * gradient / np.maximum(_norms(gradient), 1e-30)
    return best


def check_bound(layer, shape, *, attained=None):
    """Attacks `layer.lipschitz_bound` with everything above.

    Args:
        layer: A built float64 layer.
        shape: Shape of one input, without the batch.
        attained: If given, the fraction of the bound that the attack must reach: the bound is
            then not only true but tight.
    """
    assert layer.compute_dtype == "float64"
    bound = layer.lipschitz_bound
    assert isinstance(bound, float)
    found = max(largest_jacobian_norm(layer, shape), largest_ratio(layer, shape))
    assert found <= bound * (1 + max(1e-7, ROUNDING)), f"{found} exceeds the stated bound {bound}"
    if attained is not None:
        assert found >= attained * bound, f"{found} is far from the stated bound {bound}"


def check_half_precision(layer, shape):
    """Checks that mixed_float16 only rounds inputs and outputs: the layer itself stays exact.

    Args:
        layer: A built float32 layer.
        shape: Shape of one input, without the batch.
    """
    config = layer.get_config()
    config["dtype"] = "mixed_float16"
    half = type(layer).from_config(config)
    half.build((None, *shape))
    half.set_weights(layer.get_weights())
    x = np.random.default_rng(0).normal(size=(64, *shape)).astype("float16")
    y = ops.convert_to_numpy(half(x))
    exact = np.asarray(ops.convert_to_numpy(layer(x.astype("float32"))), "float64")
    assert y.dtype == "float16"
    # Half a unit in the last place, and float32 rounding that tips a tie.
    unit = np.spacing(np.abs(exact).astype("float16")).astype("float64")
    assert np.all(np.abs(y - exact) <= 0.51 * unit + 1e-6)


def _difference(pairs):
    first, second = ops.split(pairs, 2, axis=0)
    return second - first


def _tensor_norms(batch):
    flat = ops.reshape(batch, (ops.shape(batch)[0], -1))
    # A pair with equal outputs has ratio zero, and must not have a NaN gradient.
    return ops.sqrt(ops.sum(ops.square(flat), axis=1) + 1e-60)


def _norms(batch):
    flat = np.sqrt(np.sum(np.square(batch.reshape(len(batch), -1)), axis=1))
    return flat.reshape((-1,) + (1,) * (batch.ndim - 1))
