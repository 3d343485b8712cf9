"""Writes docs/reproduction.md: every table of the papers, ours beside theirs.

    python -m benchmarks.reproduce

The papers' figures are in `benchmarks/papers.json`, ours in `benchmarks/results/`. A row without
a result says which command makes it, or why there can be none.
"""

from typing import NamedTuple

from benchmarks.common import DOCS, RESULTS, markdown_table, on_processors, papers, read_result
from benchmarks.render import by_method
from benchmarks.render.commands import command_of

PAGE = DOCS / "reproduction.md"
INTRODUCTION = """# Reproduction

<!-- Written by `python -m benchmarks.reproduce`; change that, or benchmarks/papers.json. -->

The tables of the five papers that report accuracy or time, ours beside theirs: **here** / paper.
What is left out is named below the title of its paper.

Ours come from the stored results of the scripts under `benchmarks/`, which name machine, versions
and seed; theirs from the papers as published. Accuracies are in percent. Budgets differ, as the
lines below a table say: two cores train less than the papers' GPUs, and a figure of ours from a
short training says how the method fares at that budget, not that the paper is wrong. "8 epochs for
100" says that we took 8 where the paper took 100; a dash stands for a figure that is missing; in
brackets is the 95 % confidence interval. Minutes of a row hold its training and its attacks; where
another table trained the network, the attacks alone.
"""


class Row(NamedTuple):
    """A row of one table.

    Attributes:
        label: What the row is about.
        pairs: Ours and theirs, texts, for each column.
        source: The stored result and its budget, where one of our figures is there.
        spent: Seeds and minutes of our figures, where the result says so, and what sets them apart.
        command: What makes the figures that are missing, if any are.
        absent: Why there can be no figure of ours, if there can be none.
    """

    label: str
    pairs: list
    source: str = ""
    spent: str = ""
    command: str = ""
    absent: str = ""

    @property
    def missing(self):
        """What of the row is not there, in words; empty for a whole one."""
        if not self.command:
            return self.absent
        return "the rest not run" if self.source else "not run"


def main():
    """Brings the page up to date."""
    PAGE.write_text(rendered())


def rendered():
    """Returns the text of the page."""
    parts = [INTRODUCTION, _summary()]
    for paper in papers():
        parts.append(f"## {paper['name']}\n\n*{paper['title']}*")
        parts.append(paper.get("left out", ""))
        parts += [_section(table) for table in paper["tables"]]
    parts.append(f"## Method by method\n\n{by_method.table()}")
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def rows_of(table):
    """Returns the `Row`s of a table of `papers.json`."""
    return [_row(table, row) for row in table["rows"]]


def command_for(table, row):
    """Returns the command of a row's result, or of the part that its table states itself."""
    return table.get("command") or command_of(row.get("result", table.get("result")))


def _row(table, row):
    paths = row.get("here")
    theirs = [_text(value, table) for value in row["paper"]]
    if paths is None:
        absent = row.get("absent", table.get("absent"))
        return Row(row["label"], [("", value) for value in theirs], absent=absent)
    name, command = row.get("result", table.get("result")), command_for(table, row)
    record = read_result(name)
    found = [_found(record["figures"], path) if record else None for path in paths]
    scale = row.get("scale", table.get("scale"))
    ours = [_text(None if value is None else scale * value, table) for value in found]
    if record:
        sure = [_interval(record["figures"], path, table) for path in paths]
        ours = [f"{text}{interval}" if text else "" for text, interval in zip(ours, sure)]
    pairs = list(zip(ours, theirs))
    if all(value is None for value in found):
        return Row(row["label"], pairs, command=command)
    left = any(value is None and there for value, there in zip(found, theirs))
    return Row(
        row["label"],
        pairs,
        source=_source(name, record, paths[0][0], table),
        spent="; ".join(filter(None, [_spent(record["figures"], table, paths), row.get("note")])),
        command=command if left else "",
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


def _spent(figures, table, paths):
    """Seeds and minutes of a row of `benchmarks.papers`, and what only some of the seeds have."""
    seeds = _found(figures, [paths[0][0], "seeds"])
    if not isinstance(seeds, dict):
        return ""
    # A share of zero is a figure too.
    holders = [
        [seed for seed, made in seeds.items() if _found(made, path[2:]) is not None]
        for path in paths
    ]
    used = [seed for seed in seeds if any(seed in held for held in holders)]
    minutes = [f"{seeds[seed]['minutes']['processor']:.0f}" for seed in used]
    minutes = ["under 1" if text == "0" else text for text in minutes]
    unit = "minute" if minutes in (["1"], ["under 1"]) else "minutes"
    where = on_processors(seeds[seed] for seed in used)
    spent = f"{_seeds(used)}: {', '.join(minutes)} processor {unit}{where}"
    partial = [
        f"{column} of {_seeds(held)} alone"
        for column, held in zip(table["columns"], holders)
        if held and held != used
    ]
    return "; ".join([spent, *partial])


def _seeds(names):
    return f"{'seeds' if len(names) > 1 else 'seed'} {', '.join(names)}"


def _text(value, table):
    return "" if value is None else f"{value:.{table.get('digits', 2)}f}"


def _source(name, record, label, table):
    """The stored result, its budget, and how far that is from the paper's where it says so."""
    short = table.get("short", _found(record["figures"], [label, "short of the paper"]))
    parts = [
        f"`benchmarks/results/{name}.json`, {record['date']}",
        _budget(record["settings"], table),
    ]
    return "; ".join(filter(None, [*parts, short]))


def _budget(settings, table):
    """The settings that say how long was trained and how many points were attacked.

    A table names its own where a setting of its benchmark is without effect on its rows. Of
    several that count points the first counts.
    """
    names = table.get("budget", ("budget", "epochs", "minutes", "width", "blocks", "points"))
    known = [name for name in names if name in settings]
    spent = [
        f"{_WORDS.get(name, name)} {settings[name]:g}"
        for name in known
        if not name.endswith("points")
    ]
    attacked = [settings[name] for name in known if name.endswith("points")][:1]
    parts = [", ".join(spent), *(f"attacked: {count:g} test points" for count in attacked)]
    parts.append(f"clean: {table['clean']}" if "clean" in table else "")
    return "; ".join(filter(None, parts))


# What a setting is called on the page, where its name alone does not say.
_WORDS = {"least_steps": "training steps"}


def _section(table):
    word = "Tables" if "," in table["table"] else "Table"
    number = "" if table["table"] == "—" else f"{word} {table['table']}: "
    # The first sentence names the table, the rest says what to mind.
    name, _, caution = table["title"].partition(". ")
    rows = rows_of(table)
    lines = [f"### {number}{name}", "", *([f"{caution}.", ""] if caution else [])]
    shown = _with_ours if any(row.source for row in rows) else _theirs_alone
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
    sources = list(dict.fromkeys(row.source for row in rows if row.source))
    places = enumerate(sources, 1)
    marks = {source: f" ({place})" if sources[1:] else "" for place, source in places}
    shown = [row for row in rows if any(ours or theirs for ours, theirs in row.pairs)]
    remarks = [_remark(row, marks) for row in shown]
    compared = any(theirs for row in shown for _, theirs in row.pairs)
    cells = [[row.label, *(_cell(*pair, compared) for pair in row.pairs)] for row in shown]
    header = ["", *table["columns"]]
    if any(remarks):
        header.append("how")
        cells = [[*row, remark] for row, remark in zip(cells, remarks)]
    below = [f"- Here{marks[source]}: {source}" for source in sources]
    commands = dict.fromkeys(row.command for row in rows if row.command)
    empty = [row for row in rows if row not in shown]
    below += [f"- Not run: `{command}`{_labels(empty, command)}" for command in commands]
    return [markdown_table(header, cells), "", *below]


def _labels(rows, command):
    """Names the rows that a command would make, of those that the table leaves out."""
    made = [row.label for row in rows if row.command == command]
    return f", for {', '.join(made)}" if made else ""


def _remark(row, marks):
    """What the last cell of a row says; the command that makes what is missing stands below."""
    own = "; ".join(filter(None, [row.spent, row.missing]))
    return " ".join(filter(None, [marks.get(row.source), own])).strip()


def _why_none(rows):
    """What a table without any figure of ours says once, not in each row."""
    commands = list(dict.fromkeys(_reason(row) for row in rows if row.command))
    absent = {}
    for row in rows:
        if not row.command:
            absent.setdefault(row.absent, []).append(row.label)
    if not commands:
        return f"{_capital('; '.join(absent))}."
    others = [f" {', '.join(labels)}: {reason}." for reason, labels in absent.items()]
    each = ", and so each row" if commands[1:] else ""
    return f"{_capital(commands[0])}{each}{' of ours' if each and absent else ''}.{''.join(others)}"


def _capital(text):
    return text[0].upper() + text[1:]


def _reason(row):
    return f"not run: `{row.command}`" if row.command else row.absent


def _cell(ours, theirs, compared):
    here = f"**{ours}**" if ours else "–"
    return f"{here} / {theirs or '–'}" if compared else here


def _summary():
    header = ["paper", "rows with our figures", "not run yet", "no data or no benchmark"]
    cells = []
    for paper in papers():
        rows = [row for table in paper["tables"] for row in rows_of(table)]
        measured = sum(bool(row.source) for row in rows)
        waiting = sum(row.missing == "not run" for row in rows)
        rest = len(rows) - measured - waiting
        name = paper["name"]
        cells.append([f"[{name}](#{name.lower()})", measured, waiting, rest])
    return markdown_table(header, cells)


if __name__ == "__main__":
    main()
    print(f"{PAGE} from {len(list(RESULTS.glob('**/*.json')))} results")
