"""What a million images cost, planned from measured passes, and on how many workers.

    python -m benchmarks.measure.speed.plan [--rounds 25]

For each network the processor seconds of a forward pass and of one with the gradient of the inputs
are measured, an image each, all threads added up: what one core needs. AutoAttack's standard suite
on ten classes takes 100 gradients of `apgd-ce`, 900 of `apgd-t`, 900 of `fab-t` (each of two: it
looks at two classes) and 5,000 forward passes of `square`, on points that still stand; the shares
of points that stand are an assumption, given beside. Workers are simulated: each takes the next
chunk, whose time varies by a fifth, and an attack begins when the last chunk of the one before is
done. Bytes of a training step are those that each worker sends to average the gradients over 8
workers in a ring; passes are what each method takes for a batch. Floating point operations are
counted: two for each number of a kernel at each place of its output, as many for a gradient of the
inputs, and as many again for one of the weights. What a retraction takes comes on top: it depends
on the kernels and not on the batch.
"""

import argparse
import heapq
import math
import time

import numpy as np
from keras import ops

import lipot
from benchmarks.common import write_result
from benchmarks.common.networks import small_cnn
from lipot import backend

IMAGES, CHUNK, WORKERS = 10**6, 256, (1, 8, 64)
# Gradients, forward passes, and the share of points that each attack of the suite begins with.
SUITE = {
    "apgd-ce": (100, 0, 0.9),
    "apgd-t": (900, 0, 0.6),
    "fab-t": (1800, 0, 0.5),
    "square": (0, 5000, 0.5),
}
# Forward passes, gradients of the inputs, and gradients of the weights for each step of training,
# attack included.
METHODS = {
    "hinge-KR": (1, 1, 1),
    "GOT-TRADES, 10 steps": (13, 12, 2),
    "OTJR, 10 steps": (12, 13, 2),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    figures = {name: planned(*network, options.rounds) for name, network in networks().items()}
    print(figures)
    settings = {"images": IMAGES, "chunk": CHUNK, "suite": SUITE, "methods": METHODS}
    print(write_result("plan", figures, seed=0, settings=settings))


def networks():
    """`(model, batch)` by name."""
    return {
        "small CNN, 28 x 28": (small_cnn(), 256),
        "ResNet-18, 32 x 32": (lipot.models.resnet18((32, 32, 3), 10), 32),
        "LipNeXt 512 x 12, 32 x 32": (lipot.models.lipnext((32, 32, 3), 10, 512, 12), 16),
    }


def planned(model, batch, rounds):
    forward, gradient = passes(model, batch, rounds)
    seconds = {
        name: share * (gradients * gradient + forwards * forward)
        for name, (gradients, forwards, share) in SUITE.items()
    }
    weights = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    once = operations(model)
    return {
        "forward_ms": round(1e3 * forward, 4),
        "forward_and_gradient_ms": round(1e3 * gradient, 4),
        "core_hours_by_attack": {n: round(s * IMAGES / 3600, 1) for n, s in seconds.items()},
        "hours": {str(n): round(float(simulated(seconds, n)), 2) for n in WORKERS},
        "weights": weights,
        "mb_a_step_for_each_of_8": round(2 * 7 / 8 * 4 * weights / 1e6, 2),
        "core_ms_an_image_in_training": {
            name: round(1e3 * (f * forward + b * max(gradient - forward, 0.0)), 3)
            for name, (f, b, _) in METHODS.items()
        },
        "mflop_an_image": round(once / 1e6, 2),
        "mflop_an_image_in_training": {
            name: round(sum(passes) * once / 1e6, 2) for name, passes in METHODS.items()
        },
    }


def operations(model):
    """Floating point operations of a forward pass of one image, of kernels alone."""
    total = 0
    for layer in model.layers:
        if hasattr(layer, "layers"):
            total += operations(layer)
        elif getattr(layer, "kernel", None) is not None:
            total += 2 * math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1])
    return total


def passes(model, batch, rounds):
    """Processor seconds an image of a forward pass, and of one with the gradient of the inputs."""
    x = ops.convert_to_tensor(np.random.default_rng(0).random((batch, *model.input_shape[1:])))
    x = ops.cast(x, "float32")
    forward = backend.compile_over(model, lambda call, x: call(x))

    def both(call, x):
        return backend.value_and_input_gradient(lambda z: ops.sum(ops.max(call(z), axis=1)), x)[1]

    programs, found = (forward, backend.compile_over(model, both)), []
    for program in programs:
        ops.convert_to_numpy(program(x))
        times = []
        for _ in range(rounds):
            begun = time.process_time()
            ops.convert_to_numpy(program(x))
            times.append(time.process_time() - begun)
        found.append(float(np.median(times)) / batch)
    return found


def simulated(seconds, workers):
    """Hours of the suite on so many workers, each of one core."""
    rng, clock = np.random.default_rng(0), 0.0
    for name, (_, _, share) in SUITE.items():
        chunks = -(-int(share * IMAGES) // CHUNK)
        times = seconds[name] / share * CHUNK * rng.uniform(0.8, 1.2, chunks)
        free = [clock] * workers
        for duration in times:
            heapq.heappush(free, heapq.heappop(free) + duration)
        clock = max(free)
    return clock / 3600


if __name__ == "__main__":
    main()
