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
lines below a table say: two cores train less than the papers' GPUs, and a figure of ours from a
short training says how the method fares at that budget, not that the paper is wrong.
"""


class Row(NamedTuple):
    """A row of one table: its label, a pair of ours and theirs for each column, and where from.

    `source` names the stored result and its budget, which rows of a table mostly share; `note` is
    what a row has for itself.
    """

    label: str
    pairs: list
    note: str
    source: str = ""

    @property
    def measured(self):
        return bool(self.source)


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
        return Row(row["label"], [("", value) for value in theirs], table["absent"])
    name, command = (row.get(key, table.get(key)) for key in ("result", "command"))
    record = read_result(name)
    found = [_found(record["figures"], path) if record else None for path in paths]
    scale = row.get("scale", table.get("scale"))
    ours = [_text(None if value is None else scale * value, table) for value in found]
    if record:
        sure = [_interval(record["figures"], path, table) for path in paths]
        ours = [f"{text}{interval}" if text else "" for text, interval in zip(ours, sure)]
    if all(value is None for value in found):
        return Row(row["label"], list(zip(ours, theirs)), f"not run: `{command}`")
    left = any(value is None and there for value, there in zip(found, theirs))
    notes = [_spent(record["figures"], paths[0][0])] + [f"the rest not run: `{command}`"] * left
    return Row(
        row["label"],
        list(zip(ours, theirs)),
        "; ".join(filter(None, notes)),
        _source(name, record, paths[0][0]),
    )


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
    """Seeds and minutes of a row of `benchmarks.papers`."""
    seeds = _found(figures, [label, "seeds"])
    if not isinstance(seeds, dict):
        return ""
    minutes = ", ".join(f"{made['minutes']['processor']:.0f}" for made in seeds.values())
    word = "seeds" if len(seeds) > 1 else "seed"
    return f"{word} {', '.join(seeds)}: {minutes} processor minutes"


def _text(value, table):
    return "" if value is None else f"{value:.{table.get('digits', 2)}f}"


def _source(name, record, label):
    """The stored result, its budget, and how far that is from the paper's where it says so."""
    short = _found(record["figures"], [label, "short of the paper"])
    parts = [f"`benchmarks/results/{name}.json`, {record['date']}", _budget(record["settings"])]
    return "; ".join(filter(None, [*parts, short]))


def _budget(settings):
    """The settings that say how long was trained and how many points were attacked."""
    names = ("budget", "epochs", "minutes", "width", "blocks", "points")
    return ", ".join(f"{name} {settings[name]:g}" for name in names if name in settings)


def _section(table):
    number = "" if table["table"] == "—" else f"Table {table['table']}: "
    # The first sentence names the table, the rest says what to mind.
    name, _, caution = table["title"].partition(". ")
    rows = rows_of(table)
    lines = [f"### {number}{name}", "", *([f"{caution}.", ""] if caution else [])]
    shown = _with_ours if any(row.measured for row in rows) else _theirs_alone
    return "\n".join([*lines, *shown(table, rows)])


def _theirs_alone(table, rows):
    """Lines of a table without any figure of ours."""
    lines = [_why_none(rows), ""]
    if not any(theirs for row in rows for _, theirs in row.pairs):
        return [*lines, f"Its rows: {'; '.join(row.label for row in rows)}."]
    cells = [[row.label, *(theirs or "–" for _, theirs in row.pairs)] for row in rows]
    return [*lines, markdown_table(["paper", *table["columns"]], cells)]


def _with_ours(table, rows):
    """Lines of a table with figures of ours; below it once what its rows share."""
    sources = list(dict.fromkeys(row.source for row in rows if row.measured))
    places = enumerate(sources, 1)
    marks = {source: f" ({place})" if sources[1:] else "" for place, source in places}
    remarks = [_remark(row, marks) for row in rows]
    cells = [[row.label, *(_cell(*pair) for pair in row.pairs)] for row in rows]
    header = ["", *table["columns"]]
    if any(remarks):
        header.append("how")
        cells = [[*row, remark] for row, remark in zip(cells, remarks)]
    below = [f"- Here{marks[source]}: {source}" for source in sources]
    below += [f"- {note[0].upper()}{note[1:]}" for note in _commands(rows)]
    return [markdown_table(header, cells), "", *below]


def _remark(row, marks):
    """What the last cell of a row says; the command that makes what is missing stands below."""
    parts = [marks.get(row.source, ""), row.note]
    return " ".join(filter(None, parts)).partition(": `")[0].strip()


def _commands(rows):
    """The notes of rows that name a command, each once."""
    notes = [note for row in rows for note in row.note.split("; ") if ": `" in note]
    return list(dict.fromkeys(note.removeprefix("the rest ") for note in notes))


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
