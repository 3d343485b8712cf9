"""Exact evaluation against cvxpy with Clarabel on random feasible neighborhoods.

    python -m benchmarks.otad.oracle [--problems 1000] [--quick]

Dimensions from 2 to 784, K from 2 to 20, l = 0 and l > 0; three quarters of the problems are
nearly degenerate: clusters of almost equal neighbors, almost collinear ones, and quadratics for
which every condition holds with equality. Errors are |z' - z'_ref| / |z'_ref|. The reference is
Clarabel on (16) as a quadratic program, which it solves to some 12 digits; on (16) as written it
stops at 4 to 7, which is reported beside.
"""

import argparse

import numpy as np
from keras import ops

from benchmarks.otad.parts import store_of
from lipot import backend
from lipot.math import interpolation, interpolation_reference
from tests.math.neighborhoods import KINDS, sample


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--verdicts", type=int, default=400)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.problems, options.verdicts, options.pairs = 24, 12, 200
    store = store_of("oracle", options)
    for kind in KINDS:
        store.run(kind, errors, kind, options.problems // len(KINDS), options.seed)
    store.run("feasibility verdicts", verdicts, options.verdicts, options.seed)
    store.run("Lipschitz", steepest_pair, options.pairs, options.seed)


def errors(kind, problems, seed):
    """Errors in both precisions, and where the literal problem leaves Clarabel."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    found = {"float32": [], "float64": [], "Clarabel on (16) as written": []}
    for index in range(problems):
        case = _case(kind, rng)
        for dtype in ("float32", "float64"):
            exact = _solve(case, dtype, found[dtype])
        if index % 10 == 0:
            _literal(case, exact, found["Clarabel on (16) as written"])
    return {
        name: {"largest": float(np.max(v)), "median": float(np.median(v)), "problems": len(v)}
        for name, v in found.items()
    }


def _case(kind, rng):
    smoothness = float(rng.uniform(0.5, 5.0))
    convexity = float(rng.choice([0.0, 0.3])) * smoothness
    dimension = int(2.0 ** rng.uniform(1, np.log2(784)))
    arrays = sample(
        kind,
        rng,
        count=int(rng.integers(2, 21)),
        dimension=dimension,
        smoothness=smoothness,
        convexity=convexity,
    )
    return arrays, smoothness, convexity


def _solve(case, dtype, found):
    arrays, *bounds = case
    arrays = [array.astype(dtype) for array in arrays]
    query, x, z = (ops.convert_to_tensor(array[None]) for array in arrays)
    u = interpolation.potentials(x, z, *bounds).u
    ours = np.asarray(interpolation.evaluate(query, x, z, u, *bounds).gradient[0], "float64")
    exact = interpolation_reference.evaluate_precisely(*arrays, np.asarray(u[0]), *bounds)
    found.append(np.linalg.norm(ours - exact.gradient) / np.linalg.norm(exact.gradient))
    return exact, np.asarray(u[0])


def _literal(case, solved, found):
    (query, x, z), *bounds = case
    exact, u = solved
    try:
        literal = interpolation_reference.evaluate(query, x, z, u, *bounds)
    except Exception as failure:  # Clarabel gives up on some nearly degenerate programs.
        print("Clarabel on (16) as written:", failure, flush=True)
        return
    error = np.linalg.norm(literal.gradient - exact.gradient)
    found.append(error / np.linalg.norm(exact.gradient))


def verdicts(problems, seed):
    """Feasibility as found here and by Clarabel, on features scaled and shaken."""
    rng = np.random.default_rng([seed, 99])
    equal, feasible = 0, 0
    for _ in range(problems):
        (_, x, z), smoothness, convexity = _case("generic", rng)
        z = z * rng.uniform(0.5, 1.5) + rng.choice([0.0, 0.05]) * rng.normal(size=z.shape)
        ours = bool(interpolation.potentials(x[None], z[None], smoothness, convexity).feasible[0])
        theirs = interpolation_reference.potentials(x, z, smoothness, convexity).feasible
        equal += ours == theirs
        feasible += theirs
    return {"problems": problems, "equal": equal, "feasible": feasible}


def steepest_pair(pairs, seed):
    """Largest |z'(x) - z'(y)| / (L |x - y|) over pairs, one neighbor set, feasible and not."""
    rng = np.random.default_rng([seed, 100])
    run = backend.compile(lambda *tensors: interpolation.interpolate(*tensors, 2.0).gradient)
    ratios = {}
    for name, shake in (("feasible", 0.0), ("infeasible", 1.0)):
        _, x, z = sample("generic", rng, count=10, dimension=64, smoothness=2.0, convexity=0.0)
        z = z + shake * rng.normal(size=z.shape)
        worst = 0.0
        for start in range(0, pairs, 1000):
            count = min(1000, pairs - start)
            left = x.mean(0) + rng.normal(size=(count, 64))
            step = 10.0 ** rng.uniform(-4, 1, (count, 1)) * rng.normal(size=(count, 64))
            neighbors, features = (np.broadcast_to(a, (count, *a.shape)) for a in (x, z))
            moved = np.asarray(run(left + step, neighbors, features))
            moved = moved - np.asarray(run(left, neighbors, features))
            ratio = np.linalg.norm(moved, axis=1) / np.linalg.norm(step, axis=1)
            worst = max(worst, float(np.max(ratio)) / 2.0)
        ratios[name] = worst
    return {"pairs": pairs, **ratios}


if __name__ == "__main__":
    main()
