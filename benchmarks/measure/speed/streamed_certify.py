"""Certifies streams of up to a million images: peak memory, and time over that of `predict`.

    python -m benchmarks.measure.speed.streamed_certify [--counts 10000 100000 1000000]

Every image is made when it is asked for, so that only what `certify` holds is measured. Each run
is a process of its own, whose peak resident memory is the system's figure; what the certificate
itself holds is given beside it. Seconds are of one call in a process that has called neither
before, compilation included, by the wall clock and of the processor.
"""

import argparse
import json
import subprocess
import sys
import time

import keras
import numpy as np

import lipot
from benchmarks.common import write_result
from benchmarks.common.memory import peak
from benchmarks.common.networks import small_cnn

BATCH, CLASSES = 256, 10


class Images(keras.utils.PyDataset):
    """Random images of 28 x 28, a function of the batch's number."""

    def __init__(self, count, labelled):
        super().__init__()
        self.count, self.labelled = count, labelled

    def __len__(self):
        return -(-self.count // BATCH)

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        rows = min(BATCH, self.count - index * BATCH)
        x = rng.random((rows, 28, 28, 1), dtype="float32")
        return (x, rng.integers(0, CLASSES, rows)) if self.labelled else x


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(options.one[0], int(options.one[1]))))
        return
    figures = {str(count): compared(count) for count in options.counts}
    print(json.dumps(figures, indent=1))
    print(write_result("streamed_certify", figures, seed=0, settings={"batch_size": BATCH}))


def compared(count):
    """Both calls on the same points, each in a process of its own."""
    found = {task: in_a_process(task, count) for task in ("predict", "certify")}
    ratios = {
        f"certify over predict, {clock}": round(
            found["certify"][f"{clock}_s"] / found["predict"][f"{clock}_s"], 3
        )
        for clock in ("wall", "cpu")
    }
    return {**found, **ratios}


def in_a_process(task, count):
    command = [
        sys.executable,
        "-m",
        "benchmarks.measure.speed.streamed_certify",
        "--one",
        task,
        str(count),
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def measured(task, count):
    """Seconds and memory of one call."""
    model = small_cnn(hidden=(64,), classes=CLASSES)
    before = peak()
    wall, cpu = time.perf_counter(), time.process_time()
    if task == "predict":
        kept = model.predict(Images(count, labelled=False), verbose=0).nbytes
    else:
        certificate = lipot.certify(model, Images(count, labelled=True), batch_size=BATCH)
        columns = ("radius", "predictions", "correct", "rounding")
        kept = sum(getattr(certificate, name).nbytes for name in columns)
    return {
        "wall_s": round(time.perf_counter() - wall, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
        "peak_mb": peak(),
        "peak_before_mb": round(before, 1),
        "kept_mb": round(kept / 1e6, 1),
    }


if __name__ == "__main__":
    main()
