"""Makes the rows of a table in order of need, and stores each when a part of it is done."""

import json
import pathlib
import re
import time

from benchmarks.common import environment, read_result, write_result
from benchmarks.papers.table import OutOfTime, Run
from lipot.math.proportions import share_interval

RUNS = pathlib.Path("runs/papers")


def run_table(table, name, *, hours, settings=None, rows=None, seeds=None, stages=None):
    """Makes what is missing of a table, until it is whole or the time is up.

    Args:
        table: A `Table`.
        name: Name of the result under `papers/`, and of the folder of what is half done.
        hours: Time to spend.
        settings: Dict of settings that differ from the table's.
        rows: Names of the rows to make; all by default.
        seeds: Seeds to make them with; those of the table by default.
        stages: Names of the stages to run; all by default. A stage that needs an earlier one
            finds what that left behind.

    Returns:
        Whether everything asked for is made.

    Raises:
        ValueError: A row is stored with other settings.
    """
    settings = _as_stored({**table.settings, **(settings or {})})
    deadline = time.monotonic() + 3600.0 * hours
    seeds = table.seeds if seeds is None else seeds
    if stages is not None:
        table = table._replace(stages=[one for one in table.stages if one.__name__ in stages])
    stored = _Stored(name, table, settings)
    try:
        for seed in seeds:
            for row in rows or table.rows:
                folder = RUNS / name / re.sub(r"[^\w.-]+", "_", row) / str(seed)
                _make(table, row, Run(settings, seed, folder, deadline), stored)
    except OutOfTime:
        print("The time is up: run the same command again to go on.", flush=True)
        return False
    return True


def _make(table, row, run, stored):
    """Runs the stages of a row that are not stored yet."""
    for stage in table.stages:
        if stage.__name__ in stored.stages(row, run.seed):
            continue
        run.checkpoint()
        print(f"{row}, seed {run.seed}: {stage.__name__}", flush=True)
        figures = stage(row, run)
        run.stopwatch.save()
        stored.add(row, run, stage.__name__, figures)
        shown = ", ".join(f"{key} {_shown(value)}" for key, value in figures.items())
        minutes = run.stopwatch.minutes
        print(
            f"{row}, seed {run.seed}: {shown} (paper: {table.rows[row]}; "
            f"{minutes['clock']:.1f} min, {minutes['processor']:.1f} of processor)",
            flush=True,
        )


class _Stored:
    """The result file of a table: for each row its seeds, and their means."""

    def __init__(self, name, table, settings):
        self._name, self._table, self._settings = f"papers/{name}", table, settings
        self._read()
        for row, found in self._rows.items():
            for seed, made in found["seeds"].items():
                _check_settings(name, row, seed, made["settings"], settings)

    def _read(self):
        record = read_result(self._name)
        self._rows = record["figures"] if record else {}

    def stages(self, row, seed):
        return self._rows.get(row, {}).get("seeds", {}).get(str(seed), {}).get("stages", [])

    def add(self, row, run, stage, figures):
        """Adds the figures of a stage and writes the file."""
        # Another process may have made other rows since.
        self._read()
        found = self._rows.setdefault(row, {"seeds": {}})
        made = found["seeds"].setdefault(str(run.seed), {"stages": []})
        made["stages"].append(stage)
        made.update(figures)
        made["intervals"] = {
            figure: list(share_interval(made[figure], self._settings[points]))
            for figure, points in self._table.shares.items()
            if figure in made
        }
        made["minutes"] = {key: round(value, 2) for key, value in run.stopwatch.minutes.items()}
        made["settings"], made["machine"] = self._settings, environment()
        made["date"] = time.strftime("%Y-%m-%d")
        made["short of the paper"] = self._table.shortfall(row, self._settings)
        found["short of the paper"] = _short_of_the_paper(found["seeds"])
        found["paper"] = self._table.rows[row]
        found["mean"] = _mean(list(found["seeds"].values()), figures, found.get("mean", {}))
        found["intervals"] = _widest([made["intervals"] for made in found["seeds"].values()])
        in_order = {name: self._rows[name] for name in self._table.rows if name in self._rows}
        seeds = sorted({int(seed) for one in in_order.values() for seed in one["seeds"]})
        write_result(self._name, in_order, seed=seeds, settings=self._settings)


def _short_of_the_paper(seeds):
    """What all seeds are short of, then what only some are, with the seeds."""
    parts = {seed: made["short of the paper"].split("; ") for seed, made in seeds.items()}
    told = list(dict.fromkeys(part for own in parts.values() for part in own))
    of = {part: [seed for seed, own in parts.items() if part in own] for part in told}
    shared = [part for part in told if len(of[part]) == len(seeds)]
    others = [f"seed {', '.join(of[part])} {part}" for part in told if part not in shared]
    return "; ".join([*shared, *others])


def _mean(seeds, figures, before):
    """Means over the seeds that have a figure, of the numbers among the figures of a stage."""
    means = dict(before)
    for key, value in figures.items():
        values = [made[key] for made in seeds if key in made]
        if isinstance(value, dict):
            means[key] = _mean(values, value, means.get(key, {}))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            means[key] = sum(values) / len(values)
    return means


def _widest(intervals):
    """For each figure the least low end and the greatest high end over the seeds."""
    widest = {}
    for one in intervals:
        for name, (low, high) in one.items():
            lowest, highest = widest.get(name, (low, high))
            widest[name] = [min(low, lowest), max(high, highest)]
    return widest


def _check_settings(name, row, seed, there, here):
    differing = [key for key in {**there, **here} if there.get(key) != here.get(key)]
    if differing:
        first = differing[0]
        raise ValueError(
            f"papers/{name} has the row {row!r}, seed {seed}, with other {', '.join(differing)} "
            f"({first} there: {there.get(first)}; here: {here.get(first)}). Give the same "
            "settings to go on, or another --name."
        )


def _as_stored(settings):
    """Settings as JSON gives them back: tuples are lists there."""
    return json.loads(json.dumps(settings))


def _shown(value):
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_shown(one)}" for key, one in value.items())
    return f"{value:.4f}" if isinstance(value, float) else str(value)
