"""Times the proven Lipschitz constant of networks, certificates, and the first prediction.

    python -m benchmarks.measure.speed.constant_time [--sizes 32 64 128 224] [--units 4096]

The residual network is that of `training_step`, once with kernels divided by a bound of their
operator norm (`SpectralConv2D`, whose bound needs a look at many frequencies) and once with
orthogonal ones. `_s` are seconds of the clock, and `_cpu_s` those of the processor, over all of its
cores: where other programs share the machine, as `load` tells, the clock runs on while they work.
Predictions are of one batch without a pipeline (`predict_on_batch`). TensorFlow ends the pipeline
of a `predict` only when the thread that tunes it looks again, and the gaps between its looks
double: a plain Keras model whose first batch takes 5.2 s by the clock waits for 10.3.
"""

import argparse
import os

import keras
import numpy as np

import lipot
from benchmarks.common import write_result
from benchmarks.measure.speed.training_step import resnet, spent
from lipot import layers

CONVOLUTIONS = {"spectral": layers.SpectralConv2D, "orthogonal": layers.OrthogonalConv2D}


def residual(convolution, size):
    """The residual network on images of a size."""
    return resnet(convolution, layers.SpectralDense, layers.GroupSort2, keras.layers.Average, size)


def dense(units):
    """One square dense layer."""
    return keras.Sequential([keras.Input((units,)), layers.SpectralDense(units)])


def measure(model):
    """Seconds of a first prediction, where kernels are computed, of a second, and of the proof."""
    x = np.zeros((1, *model.input_shape[1:]), "float32")
    found = {}
    for what in ("first_predict", "second_predict"):
        found[f"{what}_s"], found[f"{what}_cpu_s"] = spent(lambda: model.predict_on_batch(x), 1)
    constants = []
    work = spent(lambda: constants.append(lipot.lipschitz_constant(model)), 1)
    found["constant_s"], found["constant_cpu_s"] = work
    found["constant"] = float(constants[0])
    points = np.random.default_rng(0).random((4, *x.shape[1:]), "float32")
    work = spent(lambda: lipot.certify(model, points, np.arange(4)), 1)
    found["certify_four_s"], found["certify_four_cpu_s"] = work
    found["load"] = os.getloadavg()[0]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[32, 64, 128, 224])
    parser.add_argument("--units", type=int, nargs="*", default=[4096])
    parser.add_argument("--only", nargs="*", choices=CONVOLUTIONS, default=list(CONVOLUTIONS))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    works = {
        f"resnet_{name}_{size}": lambda name=name, size=size: residual(CONVOLUTIONS[name], size)
        for size in arguments.sizes
        for name in arguments.only
    }
    works |= {f"dense_{n}": lambda n=n: dense(n) for n in arguments.units}
    figures, path = {}, None
    for name, make in works.items():
        keras.utils.set_random_seed(arguments.seed)
        figures[name] = row = measure(make())
        print(name, *(f"{key}={value:.6g}" for key, value in row.items()), flush=True)
        # The largest take minutes: what is measured stays.
        path = write_result("constant_time", figures, seed=arguments.seed, settings=vars(arguments))
    print(path)


if __name__ == "__main__":
    main()
