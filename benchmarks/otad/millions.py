"""OTAD with up to a million stored points, and with points that stay in files.

    python -m benchmarks.otad.millions [--quick] [--only TEXT]

Each row is a process of its own. Peak memory is the most that the process had resident at once,
TensorFlow and pages of mapped files included; "before" is what it had when the model was made.
"files" keeps the points in the files of a folder. The first row adapts to a memory map of 10^5
points of 3,072 values, saves, and answers from a second process. Recall is measured against the
exact search. Rows with faiss are left out where that is not installed. `--only` measures the rows
whose name holds a text, and keeps the others as they were stored.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np

import lipot
from benchmarks.common import read_result, write_result
from benchmarks.common.memory import peak

NEIGHBORS, CLASSES, QUERIES = 10, 10, 256
SEARCHES = ("exact", "faiss", "faiss-ivf", "faiss-hnsw")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="", metavar="TEXT")
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(TASKS[options.one.pop("task")](**options.one)))
        return
    counts = (1000, 10_000) if options.quick else (10_000, 100_000, 1_000_000)
    settings = {"counts": counts, "values": 64, "neighbors": NEIGHBORS, "queries": QUERIES}
    name = "otad/millions_quick" if options.quick else "otad/millions"
    figures = (read_result(name) or {"figures": {}})["figures"] if options.only else {}
    for row, task in rows(counts, 1000 if options.quick else 100_000):
        if options.only not in row:
            continue
        figures[row] = in_a_process(task)
        print(row, figures[row], flush=True)
        path = write_result(name, figures, seed=0, settings=settings)
    print(path)


def rows(counts, mapped):
    """`(name, task)` of every row."""
    yield f"exact, files, {mapped} x 3072 from a memory map", {"task": "mapped", "count": mapped}
    kinds = [("exact", True), ("exact", False)]
    if importlib.util.find_spec("faiss"):
        kinds += [(search, True) for search in SEARCHES[1:]]
    for search, files in kinds:
        for count in counts:
            task = {"task": "answer", "count": count, "files": files, "search": search}
            yield f"{search}, {'files' if files else 'weights'}, {count}", task


def in_a_process(task):
    command = [sys.executable, "-m", "benchmarks.otad.millions", "--one", json.dumps(task)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        return {"failed": run.stderr.splitlines()[-1:]}
    return json.loads(run.stdout.splitlines()[-1])


class Cloud(keras.utils.PyDataset):
    """Points around 100 centers, a function of the batch's number."""

    def __init__(self, count):
        super().__init__()
        self.count = count

    def __len__(self):
        return -(-self.count // 4096)

    def __getitem__(self, index):
        return cloud(index, min(4096, self.count - 4096 * index))


def cloud(seed, count, values=64):
    centers = np.random.default_rng(0).normal(size=(100, values))
    rng = np.random.default_rng([1, seed])
    noise = rng.normal(size=(count, values))
    return (centers[rng.integers(0, 100, count)] + 0.5 * noise).astype("float32")


def network(values, search="exact"):
    backbone = keras.Sequential([keras.Input((values,)), keras.layers.Rescaling(1.5)])
    head = keras.layers.Dense(CLASSES, kernel_initializer=keras.initializers.RandomNormal(seed=1))
    return lipot.OTAD(backbone, head, neighbors=NEIGHBORS, smoothness=1.5, search=search)


def answer(count, files, search="exact"):
    """Adapts, and answers the same queries twice: the first time programs and indices are made."""
    model, found = network(64, search), {"before_mb": peak()}
    with tempfile.TemporaryDirectory() as folder:
        place = folder if files else None
        timed(found, "adapt", lambda: model.adapt(Cloud(count), batch_size=4096, folder=place))
        found["adapted_mb"] = peak()
        queries = cloud(10**6, QUERIES)
        timed(found, "first answer", lambda: model.features(queries, batch_size=QUERIES))
        timed(found, "answer", lambda: model.features(queries, batch_size=QUERIES))
        found["peak_mb"] = peak()
        if search == "exact":
            timed(found, "certify", lambda: lipot.certify(model, queries))
        else:
            found["recall"] = model.recall(queries)
    return {**found, "peak_certify_mb": peak()}


def mapped(count):
    """Adapts to a memory map, saves, and answers from a second process."""
    with tempfile.TemporaryDirectory() as folder:
        x = np.lib.format.open_memmap(f"{folder}/x.npy", "w+", "float32", (count, 3072))
        for start in range(0, count, 1000):
            x[start : start + 1000] = cloud(start, min(1000, count - start), 3072)
        x.flush()
        del x
        adapted = in_a_process({"task": "adapt_mapped", "folder": folder})
        return {
            "adapt": adapted,
            "answer": in_a_process({"task": "answer_mapped", "folder": folder}),
        }


def adapt_mapped(folder):
    model, found = network(3072), {"before_mb": peak()}
    x = np.load(f"{folder}/x.npy", mmap_mode="r")
    timed(found, "adapt", lambda: model.adapt(x, folder=f"{folder}/stored"))
    timed(found, "save", lambda: model.save(f"{folder}/model.keras"))
    return {**found, "peak_mb": peak()}


def answer_mapped(folder):
    found, queries = {"before_mb": peak()}, cloud(10**6, QUERIES, 3072)
    model = keras.saving.load_model(f"{folder}/model.keras")
    timed(found, "first answer", lambda: model.predict(queries, batch_size=QUERIES, verbose=0))
    timed(found, "answer", lambda: model.predict(queries, batch_size=QUERIES, verbose=0))
    found["peak_mb"] = peak()
    timed(found, "certify", lambda: lipot.certify(model, queries[:64], batch_size=64))
    return {**found, "peak_certify_mb": peak()}


def timed(found, name, call):
    """Adds seconds of a call, by the wall clock and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    found[f"{name}_s"] = round(time.perf_counter() - wall, 3)
    found[f"{name}_cpu_s"] = round(time.process_time() - cpu, 3)


TASKS = {
    "answer": answer,
    "mapped": mapped,
    "adapt_mapped": adapt_mapped,
    "answer_mapped": answer_mapped,
}


if __name__ == "__main__":
    main()
