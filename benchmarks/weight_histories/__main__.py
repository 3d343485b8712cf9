"""Random networks, random weight histories, and an attack on all their certificates.

    python -m benchmarks.weight_histories --certificates 100000 [--seed 0] [--out NAME]

Counted are certificates that an attack breaks, answers of the model that contradict the certified
prediction of the same point, and models that `certify` refuses, with the reason. Only points with
a radius above zero count. A line in `runs/` for each network lets an interrupted run go on, as long
as the source of lipot is the same.
"""

import argparse
import collections
import gc
import hashlib
import json
import pathlib
import re
import tempfile
import time

import keras
import numpy as np

import lipot
from benchmarks.common import write_result
from benchmarks.weight_histories.answers import disagreements
from benchmarks.weight_histories.ascent import attack, near_boundary
from benchmarks.weight_histories.histories import Subject, live_through
from benchmarks.weight_histories.networks import random_network

# A SavedModel takes seconds: every so many networks one is made.
EXPORTED = 5


def source():
    """Digest of lipot's source: figures of another one must not be added up with these."""
    digest = hashlib.sha256()
    for file in sorted(pathlib.Path(lipot.__file__).parent.glob("**/*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def points_of(model, count, rng):
    """A third of the points at random, the others shortly before a change of prediction.

    All are numbers of float32: `predict` of Keras rounds what it is given to those, also for a
    model in float64.
    """
    shape = model.input_shape[1:]
    dtype = keras.backend.standardize_dtype(model.inputs[0].dtype)
    scale = 10.0 ** rng.uniform(-1.0, 1.0, size=(count, *[1] * len(shape)))
    x = (scale * rng.normal(size=(count, *shape))).astype("float32").astype(dtype)
    third = count // 3
    x[third:] = near_boundary(model, x[third:], rng)
    return x.astype("float32").astype(dtype)


def run_network(seed, index, points):
    """Everything about one network, as a dict of JSON values."""
    start, rng = time.perf_counter(), np.random.default_rng([seed, index])
    keras.utils.set_random_seed(int(rng.integers(2**31)))
    model, words = random_network(rng)
    record = {"index": index, **words}
    shape = model.input_shape[1:]
    dtype = keras.backend.standardize_dtype(model.inputs[0].dtype)
    with tempfile.TemporaryDirectory() as folder:
        x = rng.normal(size=(64, *shape)).astype(dtype)
        subject = Subject(model, x, rng, pathlib.Path(folder))
        record["history"] = live_through(subject)
        x = points_of(model, points, rng)
        try:
            certificate = lipot.certify(model, x)
        except ValueError as error:
            return {**record, "refused": reason(error), **_seconds(start)}
        exported = index % EXPORTED == 0
        counts, closed = disagreements(model, certificate, x, subject.folder, exported)
    found = attack(model, certificate, x, rng)
    certified = certificate.radius > 0.0
    ratios = found.nearest[certified & np.isfinite(found.nearest)]
    return {
        **record,
        "certificates": int(certified.sum()),
        "broken": found.broken,
        "broken_on_sphere": found.broken_on_sphere,
        "disagreements": counts,
        "closed": {way: reason(why) for way, why in closed.items()},
        "reached": len(ratios),
        "least_ratio": float(ratios.min()) if len(ratios) else None,
        "median_ratio": float(np.median(ratios)) if len(ratios) else None,
        **_seconds(start),
    }


def _seconds(start):
    return {"seconds": round(time.perf_counter() - start, 2)}


def reason(error):
    """A message without what differs from network to network."""
    text = re.sub(r"'[^']*'", "'...'", str(error).splitlines()[0])
    return re.sub(r"Received:.*", "", text).strip()[:200]


def failure(seed, index, error):
    return {"index": index, "failed": f"{type(error).__name__}: {reason(error)}", "seed": seed}


def totals(records):
    """Sums over networks."""
    certified = [r for r in records if "certificates" in r]
    refused = [r for r in records if "refused" in r]
    counts, closed = collections.Counter(), collections.Counter()
    asked = collections.Counter()
    for record in certified:
        counts.update(record["disagreements"])
        asked.update(dict.fromkeys(record["disagreements"], record["certificates"]))
        closed.update(record["closed"].values())
    ratios = [r["least_ratio"] for r in certified if r["least_ratio"] is not None]
    return {
        "networks": len(records),
        "networks_certified": len(certified),
        "certificates": sum(r["certificates"] for r in certified),
        "broken": sum(r["broken"] for r in certified),
        "broken_on_sphere": sum(r["broken_on_sphere"] for r in certified),
        "disagreements": sum(counts.values()),
        "disagreements_by_way": dict(counts),
        "certificates_by_way": dict(asked),
        "certificates_with_a_change_found_outside": sum(r["reached"] for r in certified),
        "nearest_change_in_radii": min(ratios, default=None),
        "networks_at_random_certified": sum(r["random"] is not None for r in certified),
        "networks_refused": len(refused),
        "reasons": dict(collections.Counter(r["refused"] for r in refused).most_common()),
        "not_written_in_plain_keras": dict(closed.most_common()),
        "failures": dict(collections.Counter(r["failed"] for r in records if "failed" in r)),
        "policies": dict(collections.Counter(r["policy"] for r in certified)),
        "kinds": dict(collections.Counter(r["kind"] for r in certified)),
        "histories": dict(collections.Counter(h for r in certified for h in r["history"])),
        "layers": dict(
            collections.Counter(n for r in certified for n in set(r["layers"])).most_common()
        ),
        "culprits": [r for r in certified if r["broken"] or sum(r["disagreements"].values())][:20],
        "seconds": round(sum(r.get("seconds", 0.0) for r in records), 1),
    }


def run(certificates, seed, points, log):
    """Attacks networks until there are enough certificates; returns a record of each."""
    records = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    done = sum(r.get("certificates", 0) for r in records)
    while done < certificates:
        index = len(records)
        try:
            record = run_network(seed, index, points)
        except Exception as error:
            # One odd network must not end a run; failures are counted and shown.
            record = failure(seed, index, error)
        records.append(record)
        with log.open("a") as file:
            file.write(json.dumps(record) + "\n")
        done += record.get("certificates", 0)
        wrong = record.get("broken", 0), sum(record.get("disagreements", {}).values())
        outcome = record.get("refused") or record.get("failed") or f"broken, differing: {wrong}"
        print(f"{index}: {done} certificates; {outcome}; {record.get('seconds')} s", flush=True)
        keras.backend.clear_session()
        gc.collect()
    return records


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--certificates", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--points", type=int, default=1000, help="for each network")
    parser.add_argument("--out", help="name of the result file")
    arguments = parser.parse_args()
    backend, digest = keras.backend.backend(), source()
    name = f"weight_histories_{backend}_{digest}_{arguments.seed}_{arguments.points}.jsonl"
    log = pathlib.Path("runs") / name
    log.parent.mkdir(exist_ok=True)
    records = run(arguments.certificates, arguments.seed, arguments.points, log)
    figures = totals(records)
    print(json.dumps({k: v for k, v in figures.items() if k != "culprits"}, indent=1))
    settings = {"points": arguments.points, "source": digest}
    out = arguments.out or f"weight_histories_{backend}"
    print(write_result(out, figures, seed=arguments.seed, settings=settings))


if __name__ == "__main__":
    main()
