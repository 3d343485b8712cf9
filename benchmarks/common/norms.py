"""Singular values and operator norms of trained layers, measured apart from lipot's own bounds."""

import keras
import numpy as np

POWER_ITERATIONS = 500


def operator_norms(model):
    """Measures every layer with a kernel; returns a list of dicts.

    Dense kernels: all singular values by NumPy. Convolutions: power iteration in float64 on the
    layer's real input size, `POWER_ITERATIONS` steps.
    """
    rows = []
    for layer in model.layers:
        if not hasattr(layer, "inference_kernel"):
            continue
        kernel = keras.ops.convert_to_numpy(layer.inference_kernel).astype("float64")
        row = {"layer": layer.name, "stated_bound": layer.lipschitz_bound}
        if kernel.ndim == 2:
            values = np.linalg.svd(kernel, compute_uv=False)
            row |= {"largest": values[0], "smallest": values[-1]}
        else:
            row["largest"] = power_iteration(layer, kernel)
        rows.append({key: v if isinstance(v, str) else float(v) for key, v in row.items()})
    return rows


def power_iteration(layer, kernel, steps=POWER_ITERATIONS):
    """Operator norm of a convolution on its real input size, from below, in float64."""
    shape = (1, *layer.input.shape[1:])
    image = np.random.default_rng(0).normal(size=shape)
    step = _gram_step(layer.linear_map, keras.ops.convert_to_tensor(kernel))
    norm = 0.0
    for _ in range(steps):
        image /= np.linalg.norm(image)
        image = keras.ops.convert_to_numpy(step(image))
        # |A^T A v| <= |A|^2, with equality in the limit.
        norm = np.linalg.norm(image) ** 0.5
    return norm


def _gram_step(linear_map, kernel):
    from lipot.backend import compile, vjp

    def step(image):
        return vjp(lambda v: linear_map.apply(v, kernel), image, lambda outputs: outputs)[1]

    return compile(step)
