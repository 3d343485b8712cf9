"""Seconds a query: the exact solution here, Clarabel, and the network that approximates it.

    python -m benchmarks.otad.throughput [--quick]

K = 10, all in one process on the same neighborhoods. Wall seconds are the median of the rounds;
CPU seconds of the process are given beside, for machines that do other things too. "solver" is
potentials and evaluation together, compiled; "gradient" adds the derivative for the query;
Clarabel solves (15) and (16) through cvxpy, as the authors solve (16) with MOSEK.
"""

import argparse
import time

import keras
import numpy as np
from keras import ops

from benchmarks.otad.parts import store_of
from lipot import backend
from lipot.layers import ConvexInterpolation
from lipot.math import interpolation_reference
from lipot.math.interpolation import potentials
from lipot.models import CIPNet

NEIGHBORS = 10
SMOOTHNESS = 2.0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.rounds = 2
    store = store_of("throughput", options, beside=("quick",), neighbors=NEIGHBORS)
    for dimension, batch in ((784, 512), (16384, 128)):
        store.run(f"d = {dimension}", compare, dimension, batch, options)
    dimensions = (256, 784) if options.quick else (256, 784, 2048, 4096, 8192, 16384)
    store.run("against dimension", by_dimension, dimensions, options)
    batches = (8, 64) if options.quick else (16, 64, 256, 1024)
    store.run("against queries", by_queries, batches, options)


def neighborhoods(dimension, batch, seed):
    """Feasible neighborhoods of a smooth convex potential, float32."""
    rng = np.random.default_rng(seed)
    rank = 64
    directions = rng.normal(size=(rank, dimension))
    directions /= np.linalg.norm(directions, 2)
    center = rng.normal(size=(batch, 1, dimension))
    x = center + 0.3 * rng.normal(size=(batch, NEIGHBORS, dimension))
    z = SMOOTHNESS * np.tanh(x @ directions.T) @ directions
    query = x.mean(axis=1) + 0.05 * rng.normal(size=(batch, dimension))
    # On the device, as in a model whose neighbors come out of its own memory.
    return [ops.convert_to_tensor(array.astype("float32")) for array in (query, x, z)]


def compare(dimension, batch, options):
    data = neighborhoods(dimension, batch, options.seed)
    solver = exact_solver(data)
    answer = np.asarray(solver(*data))
    reference, apart = clarabel(data, answer, 1 if options.quick else 3)
    figures = {
        "solver": timed(lambda: solver(*data), options.rounds, batch),
        "gradient": timed(gradient_of(data), options.rounds, batch),
        "CIPNet": min(
            (timed(cip_net(data, xla), options.rounds, batch) for xla in (False, True)),
            key=lambda seconds: seconds["wall"],
        ),
        "Clarabel": reference,
        "largest relative difference from Clarabel": apart,
    }
    for kind in ("wall", "cpu"):
        ratio = reference[kind] / figures["solver"][kind]
        figures[f"Clarabel over solver, {kind}"] = round(ratio, 1)
        ratio = figures["CIPNet"][kind] / figures["solver"][kind]
        figures[f"CIPNet over solver, {kind}"] = round(ratio, 2)
    return figures


def exact_solver(data):
    """The layer in a Keras model, compiled by XLA: Keras leaves that out on a CPU unless asked."""
    inputs = [keras.Input(array.shape[1:]) for array in data]
    model = keras.Model(inputs, ConvexInterpolation(SMOOTHNESS)(inputs))
    model.jit_compile = True
    return lambda *arrays: model.predict_on_batch(list(arrays))


def gradient_of(data):
    layer = ConvexInterpolation(SMOOTHNESS)
    run = backend.compile(
        lambda query, x, z: backend.value_and_input_gradient(
            lambda q: ops.sum(layer([q, x, z])), query
        )[1]
    )
    return lambda: np.asarray(run(*data))


def cip_net(data, xla):
    """CIPNet with and without XLA; the faster one counts."""
    net = CIPNet(NEIGHBORS)
    net.jit_compile = xla
    net.predict_on_batch(data)
    return lambda: net.predict_on_batch(data)


def clarabel(data, answer, queries):
    """Times the reference and compares its features."""
    seconds, apart = [], []
    for index in range(queries):
        query, x, z = (np.asarray(array[index]) for array in data)
        wall, cpu = time.perf_counter(), time.process_time()
        found = interpolation_reference.potentials(x, z, SMOOTHNESS)
        interpolation_reference.evaluate(query, x, z, found.u, SMOOTHNESS)
        seconds.append((time.perf_counter() - wall, time.process_time() - cpu))
        # With the potentials found here, as any feasible ones give another interpolant.
        u = potentials_of(x, z)
        exact = interpolation_reference.evaluate_precisely(query, x, z, u, SMOOTHNESS).gradient
        apart.append(np.linalg.norm(answer[index] - exact) / np.linalg.norm(exact))
    wall, cpu = np.median(seconds, axis=0)
    return {"wall": float(wall), "cpu": float(cpu), "queries": queries}, float(np.max(apart))


def potentials_of(x, z):
    """The potentials the layer takes."""
    return np.asarray(potentials(x[None], z[None], SMOOTHNESS).u[0])


def by_dimension(dimensions, options):
    figures = {}
    for dimension in dimensions:
        batch = max(16, 2**18 // dimension)
        data = neighborhoods(dimension, batch, options.seed)
        solver = exact_solver(data)
        figures[str(dimension)] = timed(lambda s=solver, d=data: s(*d), options.rounds, batch)
    return figures


def by_queries(batches, options):
    figures = {}
    for batch in batches:
        data = neighborhoods(784, batch, options.seed)
        solver = exact_solver(data)
        figures[str(batch)] = timed(lambda s=solver, d=data: s(*d), options.rounds, 1)
    return figures


def timed(call, rounds, divisor):
    """Median wall and CPU seconds of a call, divided by the number of queries."""
    call()
    seconds = []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        seconds.append((time.perf_counter() - wall, time.process_time() - cpu))
    wall, cpu = np.median(seconds, axis=0) / divisor
    return {"wall": float(wall), "cpu": float(cpu)}


if __name__ == "__main__":
    main()
