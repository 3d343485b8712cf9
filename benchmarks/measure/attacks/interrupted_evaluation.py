"""Kills a long evaluation at random times, starts it again, and compares its numbers.

    LIPOT_DATA_DIR=... python -m benchmarks.measure.attacks.interrupted_evaluation \
        [--points 300] [--kills 3]

`lipot evaluate` runs once to its end. A second evaluation, with a folder of its own, is killed
(SIGKILL) at times drawn evenly over the length of the first one, and started again until it ends.
All that both say of the model must be equal, but for the seconds.
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np

import lipot
from benchmarks.common import write_result
from benchmarks.measure.attacks.art_attacks import load_data, networks, train


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist", choices=("mnist", "digits"))
    parser.add_argument("--points", type=int, default=300)
    parser.add_argument("--attacks", nargs="+", default=["standard"])
    parser.add_argument("--eps", nargs="+", default=["0.5", "1.0"])
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = interrupt(pathlib.Path(folder), options)
    print(figures)
    print(
        write_result("interrupted_evaluation", figures, seed=options.seed, settings=vars(options))
    )


def interrupt(folder, options):
    """Runs both evaluations; returns what they took and whether they agree."""
    files = prepare(folder, options)
    through, _ = run(command(folder / "through", files, options))
    rng = np.random.default_rng(options.seed)
    again = command(folder / "killed", files, options)
    kills = []
    # A run that goes on needs less than the whole time: a late kill would find it finished.
    for share in rng.uniform(0.1, 0.6, options.kills):
        seconds, killed = run(again, limit=share * through)
        kills.append({"after_seconds": round(seconds, 1), "killed": killed})
    last, _ = run(again)
    first, second = (report(folder / name) for name in ("through", "killed"))
    return {
        "equal": without_seconds(first) == without_seconds(second),
        "seconds_through": round(through, 1),
        "kills": kills,
        "seconds_of_the_last_run": round(last, 1),
        "robust_accuracy": robust_accuracies(first),
    }


def prepare(folder, options):
    """Trains the network and writes it and its points; returns both files."""
    keras.utils.set_random_seed(options.seed)
    data = load_data(options.data)
    model = networks(data.x_train.shape[1:])["plain"]
    train(model, data)
    files = folder / "model.keras", folder / "points.npz"
    model.save(files[0])
    np.savez(files[1], x=data.x_test[: options.points], y=data.y_test[: options.points])
    return files


def command(folder, files, options):
    """The command line of an evaluation that keeps what it finds in `folder`."""
    return [
        *(sys.executable, "-m", "lipot.cli", "evaluate", *map(str, files), "--range", "0", "1"),
        *("--eps", *options.eps, "--attacks", *options.attacks, "--seed", str(options.seed)),
        *("--resume", str(folder), "--json", f"{folder}.json", "--out", f"{folder}.html"),
    ]


def run(arguments, limit=None):
    """Runs a command, kills it after `limit` seconds; returns its seconds and whether it died."""
    start = time.monotonic()
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL)
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        process.kill()
    code = process.wait()
    if code not in (0, -signal.SIGKILL):
        raise RuntimeError(f"The evaluation failed with exit code {code}.")
    return time.monotonic() - start, code == -signal.SIGKILL


def report(path):
    """The data of a report."""
    return json.loads(path.with_suffix(".json").read_text())


def without_seconds(value):
    """Leaves out, at any depth, what tells how long something took."""
    if isinstance(value, dict):
        return {key: without_seconds(part) for key, part in value.items() if "seconds" not in key}
    if isinstance(value, list):
        return [without_seconds(part) for part in value]
    return value


def robust_accuracies(data):
    """Share of points that stand, by radius."""
    (found,) = lipot.RobustnessReport.from_json(json.dumps(data)).evaluations
    return {str(eps): found.robust_accuracy(eps) for eps in found.eps}


if __name__ == "__main__":
    main()
