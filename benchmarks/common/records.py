"""Where results go and what they say of their machine."""

import importlib.metadata
import json
import os
import platform
import subprocess
import time
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results"
# The key of the rows that deel-lip has beside ours in one result file.
DEEL_LIP = "deel-lip 1.5.0, in the same run"
# The key of what NGOpt leaves standing within an l2 radius of 3.
NEAR = "accuracy where a norm above 3 does not count"

_PACKAGES = (
    "keras",
    "tensorflow",
    "jax",
    "torch",
    "numpy",
    "adversarial-robustness-toolbox",
    "cvxpy",
    "clarabel",
    "pot",
)


def environment():
    """Returns machine and versions: what a reader needs to judge a figure."""
    # Here, since reading results needs no framework.
    from lipot.workers import available_cores

    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": available_cores(),
        **_accelerator(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "versions": versions,
    }


def _accelerator():
    """The names of the GPUs, where there are any."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        names = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"accelerator": ", ".join(names.split("\n")).strip(", ")}


def write_result(name, figures, *, seed, settings=None):
    """Writes `benchmarks/results/NAME.json` and returns its path.

    Args:
        name: File name without ending; a `/` makes a folder.
        figures: Dict of JSON values: what was measured.
        seed: The seed of the run.
        settings: Dict of JSON values: what was asked for.
    """
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "figures": figures,
        "settings": settings or {},
        "seed": seed,
        "date": time.strftime("%Y-%m-%d"),
        "environment": environment(),
    }
    # A reader of a half-written file would lose an earlier result: write beside, then move.
    draft = path.with_suffix(".json.part")
    draft.write_text(json.dumps(record, indent=1, sort_keys=False) + "\n")
    draft.replace(path)
    return path


def read_result(name):
    """Returns a stored record, or `None` where there is none."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _processor():
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        return platform.processor()
    return platform.processor()
