"""Accuracies of several evaluations as a table: for pandas, terminals, markdown and LaTeX."""

import io

import pandas
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lipot import checks

FORMATS = ("pandas", "terminal", "markdown", "latex")

# Columns of shares between 0 and 1, which text shows in percent.
_SHARES = ("clean", "robust", "certified")
_LEADING = ["model", "norm", "eps", "points", *_SHARES]
_WIDTH = 100
_LATEX_SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
}


def table(evaluations, format):
    """Lays out evaluations; see `RobustnessReport.table`."""
    checks.choice("format", format, FORMATS)
    frame = _frame(evaluations)
    writers = {"terminal": _terminal, "markdown": _markdown, "latex": _latex}
    return frame if format == "pandas" else writers[format](frame)


def _frame(evaluations):
    rows = [_row(evaluation, eps) for evaluation in evaluations for eps in evaluation.eps]
    attacks = list(dict.fromkeys(name for e in evaluations for name in e.attacks))
    frame = pandas.DataFrame(rows, columns=[*_LEADING, *attacks])
    # Counts with gaps: an attack that one of the models was not put under.
    return frame.astype({"certified": "float64", **dict.fromkeys(attacks, "Int64")})


def _row(evaluation, eps):
    return {
        "model": evaluation.name,
        "norm": str(evaluation.norm),
        "eps": eps,
        "points": len(evaluation),
        "clean": evaluation.clean_accuracy,
        "robust": evaluation.robust_accuracy(eps),
        "certified": evaluation.certified_accuracy(eps),
        **{attack: evaluation.broken(attack, eps) for attack in evaluation.attacks},
    }


def _text(column, value):
    if pandas.isna(value):
        return "-"
    if column in _SHARES:
        return f"{100.0 * value:.1f}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _headers(frame):
    return [f"{name} %" if name in _SHARES else name for name in frame.columns]


def _cells(frame):
    return [[_text(name, row[name]) for name in frame.columns] for row in frame.to_dict("records")]


def _terminal(frame):
    grid = Table(title="Accuracy under attack", caption="robust: no attack broke the point")
    for header, name in zip(_headers(frame[_LEADING]), _LEADING):
        is_text = name in ("model", "norm")
        grid.add_column(header, justify="left" if is_text else "right", no_wrap=not is_text)
    # One column for all attacks: nine of them are wider than a terminal.
    grid.add_column("broken first by")
    for cells, row in zip(_cells(frame[_LEADING]), frame.to_dict("records")):
        # A name in brackets is no markup.
        grid.add_row(*map(escape, [*cells, _breakers(row)]))
    console = Console(file=io.StringIO(), width=_WIDTH)
    console.print(grid)
    return console.file.getvalue()


def _breakers(row):
    counts = {name: value for name, value in row.items() if name not in _LEADING}
    found = [f"{name} {n}" for name, n in counts.items() if not pandas.isna(n) and n > 0]
    return ", ".join(found) or "-"


def _markdown(frame):
    def line(cells):
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = ["---" if name in ("model", "norm") else "---:" for name in frame.columns]
    return "\n".join([line(_headers(frame)), line(rule), *map(line, _cells(frame))])


def _latex(frame):
    def line(cells):
        escaped = ("".join(_LATEX_SPECIAL.get(c, c) for c in cell) for cell in cells)
        return " & ".join(escaped) + r" \\"

    columns = "".join("l" if name in ("model", "norm") else "r" for name in frame.columns)
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            line(_headers(frame)),
            r"\midrule",
            *map(line, _cells(frame)),
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )
