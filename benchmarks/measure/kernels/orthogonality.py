"""How orthogonal the kernels are after 1000 training steps, by SVD of the whole linear maps.

    python -m benchmarks.measure.kernels.orthogonality [--steps 1000]

Dense kernels: all singular values by NumPy. Convolutions: the linear map on the real image size is
written out as a matrix, its response to every unit image, and its singular values are taken.
Networks learn small images of random classes, with a learning rate that moves the kernels far.
"""

import argparse

import keras
import numpy as np

from benchmarks.common import write_result
from lipot import layers

IMAGE = (8, 8, 3)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    figures = {}
    for name, build in NETWORKS.items():
        keras.utils.set_random_seed(options.seed)
        model = build()
        start = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights]
        train(model, options)
        moved = max(
            float(np.abs(keras.ops.convert_to_numpy(new) - old).max())
            for old, new in zip(start, model.trainable_weights)
        )
        figures[name] = {"largest change of a weight": moved, "layers": measure(model)}
        for row in figures[name]["layers"]:
            print(f"{name:22} {row}", flush=True)
    print(write_result("orthogonality", figures, seed=options.seed, settings=vars(options)))


def dense_network():
    body = [layers.SpectralDense(n, activation=layers.GroupSort2()) for n in (256, 256, 64)]
    head = layers.SpectralDense(10)
    return keras.Sequential([keras.Input(IMAGE), keras.layers.Flatten(), *body, head])


def convolution_network(convolution, **settings):
    """Two convolutions, one of them strided, of a kind that has both paddings."""
    body = [
        convolution(16, 3, **settings),
        layers.GroupSort2(),
        convolution(24, 4, strides=2, **settings),
        layers.GroupSort2(),
    ]
    head = [keras.layers.Flatten(), layers.SpectralDense(10)]
    return keras.Sequential([keras.Input(IMAGE), *body, *head])


NETWORKS = {
    "SpectralDense": dense_network,
    "OrthogonalConv2D, circular": lambda: convolution_network(
        layers.OrthogonalConv2D, padding="circular"
    ),
    "OrthogonalConv2D, zeros": lambda: convolution_network(layers.OrthogonalConv2D, padding="same"),
    "SpectralConv2D, zeros": lambda: convolution_network(layers.SpectralConv2D, padding="same"),
}


def train(model, options):
    """Steps on images whose class sets their mean color, so that the gradients stay large."""
    rng = np.random.default_rng(options.seed)
    y = rng.integers(0, 10, 64 * options.steps)
    centers = rng.normal(size=(10, 1, 1, IMAGE[-1]))
    x = (centers[y] + rng.normal(size=(len(y), *IMAGE))).astype("float32")
    model.compile(
        keras.optimizers.Adam(options.learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(x, y, batch_size=64, verbose=0)


def measure(model):
    """Extreme singular values of each layer with a kernel, beside the bound it states."""
    rows = []
    for layer in model.layers:
        if not hasattr(layer, "inference_kernel"):
            continue
        values = np.linalg.svd(explicit_matrix(layer), compute_uv=False)
        rows.append(
            {
                "layer": layer.name,
                "largest": float(values[0]),
                "smallest": float(values[-1]),
                "stated bound": layer.lipschitz_bound,
            }
        )
    return rows


def explicit_matrix(layer):
    """The linear map on the layer's real input as a float64 matrix."""
    shape = layer.input.shape[1:]
    size = int(np.prod(shape))
    kernel = keras.ops.cast(layer.inference_kernel, "float64")
    basis = keras.ops.convert_to_tensor(np.eye(size).reshape((size, *shape)))
    images = layer.linear_map.apply(basis, kernel)
    return keras.ops.convert_to_numpy(images).reshape(size, -1)


if __name__ == "__main__":
    main()
