"""Writes docs/reproduction.md: every table of the papers, ours beside theirs.

    python -m benchmarks.reproduce

The papers' figures are in `benchmarks/papers.json`, ours in `benchmarks/results/`. A row without
a result says which command makes it, or why there can be none.
"""

import json
from pathlib import Path
from typing import NamedTuple

from benchmarks.common import DOCS, RESULTS, markdown_table, read_result
from benchmarks.render import by_method

PAPERS = Path(__file__).with_name("papers.json")
PAGE = DOCS / "reproduction.md"
INTRODUCTION = """# Reproduction

<!-- Written by `python -m benchmarks.reproduce`; change that, or benchmarks/papers.json. -->

Every table of the five papers that reports accuracy or time, ours beside theirs: **here** / paper.
Ours come from the stored results of the scripts under `benchmarks/`, which name machine, versions
and seed; theirs from the papers as published. Accuracies are in percent. Budgets differ, as the
last column says: two cores train less than the papers' GPUs, and a figure of ours from a short
training says how the method fares at that budget, not that the paper is wrong.
"""


class Row(NamedTuple):
    """A row of one table: its label, a pair of ours and theirs for each column, and a note."""

    label: str
    pairs: list
    note: str
    measured: bool


def main():
    """Brings the page up to date."""
    PAGE.write_text(rendered())


def rendered():
    """Returns the text of the page."""
    papers = json.loads(PAPERS.read_text())["papers"]
    parts = [INTRODUCTION, _summary(papers)]
    for paper in papers:
        parts.append(f"## {paper['name']}\n\n*{paper['title']}*")
        parts += [_section(table) for table in paper["tables"]]
    parts.append(f"## Method by method\n\n{by_method.table()}")
    return "\n\n".join(part.strip() for part in parts) + "\n"


def rows_of(table):
    """Returns the `Row`s of a table of `papers.json`."""
    return [_row(table, row) for row in table["rows"]]


def _row(table, row):
    paths = row.get("here")
    theirs = [_text(value, table) for value in row["paper"]]
    if paths is None:
        return Row(row["label"], [("", value) for value in theirs], table["absent"], False)
    name, command = (row.get(key, table.get(key)) for key in ("result", "command"))
    record = read_result(name)
    found = [_found(record["figures"], path) if record else None for path in paths]
    scale = row.get("scale", table.get("scale"))
    ours = [_text(None if value is None else scale * value, table) for value in found]
    if record:
        sure = [_interval(record["figures"], path, table) for path in paths]
        ours = [f"{text}{interval}" if text else "" for text, interval in zip(ours, sure)]
    if all(value is None for value in found):
        return Row(row["label"], list(zip(ours, theirs)), f"not run: `{command}`", False)
    left = any(value is None and there for value, there in zip(found, theirs))
    missing = f"; the rest not run: `{command}`" if left else ""
    note = f"{_source(name, record)}{_spent(record['figures'], paths[0][0])}{missing}"
    return Row(row["label"], list(zip(ours, theirs)), note, True)


def _found(figures, path):
    """The number at the end of a path of keys, or `None`."""
    for key in path:
        if not isinstance(figures, dict) or key not in figures:
            return None
        figures = figures[key]
    return figures


def _interval(figures, path, table):
    """How sure a share is, where `benchmarks.papers` says it: over all seeds."""
    found = _found(figures, [path[0], "intervals", *path[2:]])
    if not isinstance(found, list):
        return ""
    low, high = (_text(table["scale"] * end, table) for end in found)
    return f" ({low} to {high})"


def _spent(figures, label):
    """Seeds and minutes of a row of `benchmarks.papers`, and how far it is from the paper's."""
    seeds = _found(figures, [label, "seeds"])
    if not isinstance(seeds, dict):
        return ""
    minutes = ", ".join(f"{made['minutes']['processor']:.0f}" for made in seeds.values())
    return (
        f"; seeds {', '.join(seeds)}, {minutes} minutes of a processor; "
        f"{figures[label]['short of the paper']}"
    )


def _text(value, table):
    return "" if value is None else f"{value:.{table.get('digits', 2)}f}"


def _source(name, record):
    return f"`benchmarks/results/{name}.json`, {record['date']}{_budget(record['settings'])}"


def _budget(settings):
    """The settings that say how long was trained and how many points were attacked."""
    names = ("budget", "epochs", "minutes", "width", "blocks", "points")
    said = [f"{name} {settings[name]:g}" for name in names if name in settings]
    return f"; {', '.join(said)}" if said else ""


def _section(table):
    number = "" if table["table"] == "—" else f"Table {table['table']}: "
    # The first sentence names the table, the rest says what to mind.
    name, _, caution = table["title"].partition(". ")
    rows = rows_of(table)
    lines = [f"### {number}{name}", "", *([f"{caution}.", ""] if caution else [])]
    if any(row.measured for row in rows):
        header = ["", *table["columns"], "ours"]
        cells = [[row.label, *(_cell(*pair) for pair in row.pairs), row.note] for row in rows]
    else:
        lines += [_why_none(rows), ""]
        header = ["paper", *table["columns"]]
        cells = [[row.label, *(theirs or "–" for _, theirs in row.pairs)] for row in rows]
        if not any(theirs for row in rows for _, theirs in row.pairs):
            return "\n".join([*lines, f"Its rows: {'; '.join(row.label for row in rows)}."])
    return "\n".join([*lines, markdown_table(header, cells)])


def _why_none(rows):
    """What a table without any figure of ours says once, not in each row."""
    notes = [row.note for row in rows]
    first = next((note for note in notes if note.startswith("not run: `")), notes[0])
    first = first[0].upper() + first[1:]
    return f"{first}." if len({row.note for row in rows}) == 1 else f"{first}, and so each row."


def _cell(ours, theirs):
    here = f"**{ours}**" if ours else "–"
    return f"{here} / {theirs or '–'}"


def _summary(papers):
    lines = [
        "| paper | rows with our figures | not run yet | cannot be run here |",
        "|---|---|---|---|",
    ]
    for paper in papers:
        rows = [row for table in paper["tables"] for row in rows_of(table)]
        measured = sum(row.measured for row in rows)
        waiting = sum(row.note.startswith("not run: `") for row in rows)
        rest = len(rows) - measured - waiting
        name = paper["name"]
        lines.append(f"| [{name}](#{name.lower()}) | {measured} | {waiting} | {rest} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
    print(f"{PAGE} from {len(list(RESULTS.glob('**/*.json')))} results")
