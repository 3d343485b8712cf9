"""One evaluation by one process, by one and two workers, and by two of which three are killed.

    LIPOT_DATA_DIR=... python -m benchmarks.measure.attacks.shared_evaluation \
        [--points 500] [--kills 3]

`lipot evaluate` runs once for each; all that the reports say of the model must be equal, but for
the seconds. One worker is bound to one processor, so that it uses one thread, as each of two does.
Workers are killed (SIGKILL) one at a time, at times drawn evenly over the length of the run with
two. Processor seconds of a run, its workers included, are given beside those of the clock, for
machines that do other things too; so is what two processes of arithmetic alone gain over one, since
two processors of a machine may be one core. Needs `pip install 'lipot[ray]'`.
"""

import argparse
import contextlib
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

from benchmarks.common import write_result
from benchmarks.measure.attacks.interrupted_evaluation import (
    command,
    prepare,
    report,
    robust_accuracies,
    without_seconds,
)

ARITHMETIC = """
import numpy
x = numpy.eye(500) + 1e-3
for _ in range(600):
    x @ x
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist", choices=("mnist", "digits"))
    parser.add_argument("--points", type=int, default=500)
    parser.add_argument("--attacks", nargs="+", default=["standard"])
    parser.add_argument("--eps", nargs="+", default=["0.5"])
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = compare(pathlib.Path(folder), options)
    print(figures)
    print(write_result("shared_evaluation", figures, seed=options.seed, settings=vars(options)))


def compare(folder, options):
    """Runs all four; returns what they took and whether they agree."""
    files, runs = prepare(folder, options), {}
    for name, words, processors in (
        ("no workers", [], None),
        ("one worker", ["--workers", "1"], {0}),
        ("two workers", ["--workers", "2"], None),
    ):
        runs[name] = run([*command(folder / name, files, options), *words], options, processors)
    times = (
        np.random.default_rng(options.seed).uniform(0.2, 0.8, options.kills)
        * runs["two workers"]["seconds"]
    )
    words = [*command(folder / "killed", files, options), "--workers", "2"]
    runs["two workers, some killed"] = run(words, options, None, sorted(times))
    names = ("no workers", "one worker", "two workers", "killed")
    alone, beside = (arithmetic(count) for count in (1, 2))
    first, *others = (without_seconds(report(folder / name)) for name in names)
    one, two = (runs[name]["seconds"] for name in ("one worker", "two workers"))
    return {
        "equal": [other == first for other in others],
        "runs": runs,
        "speed-up of two workers over one": round(one / two, 2),
        "two processes over one, arithmetic alone": round(2 * alone / beside, 2),
        "robust_accuracy": robust_accuracies(report(folder / "no workers")),
    }


def arithmetic(count):
    """Seconds that so many processes of one thread take for the same products side by side."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-c", ARITHMETIC]
    begun = time.monotonic()
    for process in [subprocess.Popen(command, env=environment) for _ in range(count)]:
        process.wait()
    return time.monotonic() - begun


def run(words, options, processors, kills=()):
    """Runs a command; returns its seconds and whom it lost."""
    words = [*words, "--batch-size", str(options.batch_size)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    begun, used = time.monotonic(), spent()
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL)
    if processors is not None:
        os.sched_setaffinity(process.pid, processors)
    lost, timers = [], []
    for seconds in kills:
        timers.append(threading.Timer(seconds, kill_a_worker, (process.pid, lost)))
        timers[-1].start()
    code = process.wait()
    for timer in timers:
        timer.cancel()
    if code:
        raise RuntimeError(f"The evaluation failed with exit code {code}.")
    seconds = time.monotonic() - begun
    return {
        "seconds": round(seconds, 1),
        "seconds a point": round(seconds / options.points, 4),
        "processor seconds of what ended": round(spent() - used, 1),
        "workers killed": len(lost),
    }


def kill_a_worker(parent, lost):
    """Kills the next worker of a process in turn; waits for one where all are being replaced."""
    while not (found := sorted(workers_of(parent))):
        if not pathlib.Path(f"/proc/{parent}").exists():
            return
        time.sleep(1.0)
    lost.append(found[len(lost) % len(found)])
    os.kill(lost[-1], signal.SIGKILL)


def workers_of(parent):
    """Processes of Ray that hold a model, below a process."""
    above, named = {}, []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        # A process may end while it is looked at.
        with contextlib.suppress(OSError):
            stat = (entry / "stat").read_text().rpartition(")")[2].split()
            above[int(entry.name)] = int(stat[1])
            if (entry / "cmdline").read_bytes().startswith(b"ray::_Worker"):
                named.append(int(entry.name))
    return [process for process in named if parent in ancestors(process, above)]


def ancestors(process, above):
    """The processes above one."""
    while process in above:
        process = above[process]
        yield process


def spent():
    """Processor seconds of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
