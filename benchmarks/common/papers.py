"""The figures that the papers publish, out of `benchmarks/papers.json`."""

import json
from pathlib import Path

PAPERS = Path(__file__).parents[1] / "papers.json"


def papers():
    """Returns the papers, each a dict with `name`, `title` and `tables`."""
    return json.loads(PAPERS.read_text())["papers"]


def paper_row(paper, table, label, *, about=""):
    """Returns what a paper has in one row of a table, a list; `None` where it has nothing.

    Args:
        paper: Name of the paper.
        table: Number of the table, as `papers.json` has it.
        label: Label of the row.
        about: How the title begins, where tables share a number.
    """
    found = [
        row["paper"]
        for known in papers()
        if known["name"] == paper
        for part in known["tables"]
        if part["table"] == table and part["title"].startswith(about)
        for row in part["rows"]
        if row["label"] == label
    ]
    if len(found) != 1:
        raise LookupError(f"{paper}, table {table}, has {len(found)} rows {label!r} on {about!r}")
    return found[0]
