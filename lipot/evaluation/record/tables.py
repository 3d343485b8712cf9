"""Accuracies of several evaluations as a table: for pandas, terminals, markdown and LaTeX."""

import html
import io

import pandas
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lipot import checks
from lipot.math.norms import radius_name
from lipot.math.proportions import in_percent

FORMATS = ("pandas", "terminal", "markdown", "latex")
COLUMNS = ("main", "all")

# Shares between 0 and 1, each with the ends of its interval; text shows them in percent.
_SHARES = ("clean", "robust", "certified")
_ENDS = tuple(f"{share} {end}" for share in _SHARES for end in ("low", "high"))
_MAIN = ("model", "norm", "eps", "points", *_SHARES)
_LEADING = ("model", "norm", "eps", "inputs", "points", *_SHARES, *_ENDS)
_WORDS = ("model", "norm", "inputs")
_WIDTH = 100
_NAME_WIDTH = 20
_INTERVALS = "in brackets: 95 % confidence interval"
_NOTE = f"robust: no attack broke the point; {_INTERVALS}"
_LATEX_SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def table(evaluations, format, columns):
    """Lays out evaluations; see `RobustnessReport.table`."""
    checks.choice("format", format, FORMATS)
    checks.choice("columns", columns, COLUMNS)
    frame = _frame(evaluations)
    attacks = [name for name in frame.columns if name not in _LEADING]
    if format == "pandas":
        return frame if columns == "all" else frame[list(_LEADING)]
    if format == "terminal":
        return _terminal(frame, units(evaluations))
    shown = [*_MAIN, *(attacks if columns == "all" else ())]
    write = {"markdown": _markdown, "latex": _latex}[format]
    return write(frame, shown, units(evaluations))


def notebook(evaluations):
    """The main columns as HTML, for `RobustnessReport._repr_html_`."""

    def row(cells, tag):
        return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"

    body = "".join(row(cells, "td") for cells in _cells(_frame(evaluations), _MAIN))
    caption = html.escape(f"Accuracy under attack, {units(evaluations)}; {_INTERVALS}")
    head = row(_headers(_MAIN), "th")
    return f"<table><caption>{caption}</caption><thead>{head}</thead><tbody>{body}</tbody></table>"


def units(evaluations):
    """What the radii of some evaluations measure, in one line.

    Args:
        evaluations: `Evaluation`s.

    Returns:
        String such as "eps: l2 distance, inputs from 0 to 1".
    """
    named = {}
    for evaluation in evaluations:
        named.setdefault(evaluation.units, []).append(evaluation.name)
    if len(named) == 1:
        return f"eps: {next(iter(named))}"
    parts = (f"{found} ({', '.join(dict.fromkeys(names))})" for found, names in named.items())
    return f"eps: {'; '.join(parts)}"


def _frame(evaluations):
    rows = [_row(evaluation, eps) for evaluation in evaluations for eps in evaluation.eps]
    attacks = list(dict.fromkeys(name for e in evaluations for name in e.attacks))
    frame = pandas.DataFrame(rows, columns=[*_LEADING, *attacks])
    # Counts with gaps: an attack that one of the models was not put under.
    floats = dict.fromkeys(["certified", *_ENDS], "float64")
    return frame.astype({**floats, **dict.fromkeys(attacks, "Int64")})


def _row(evaluation, eps):
    shares = (
        evaluation.clean_accuracy,
        evaluation.robust_accuracy(eps),
        evaluation.certified_accuracy(eps),
    )
    ends = [end for share in shares for end in evaluation.interval(share) or (None, None)]
    return {
        "model": evaluation.name,
        "norm": str(evaluation.norm),
        "eps": eps,
        "inputs": " to ".join(f"{end:g}" for end in evaluation.settings.get("data range", ())),
        "points": len(evaluation),
        **dict(zip(_SHARES, shares)),
        **dict(zip(_ENDS, ends)),
        **{attack: evaluation.broken(attack, eps) for attack in evaluation.attacks},
    }


def _text(row, column, between=" "):
    value = row[column]
    if pandas.isna(value):
        return "-"
    if column in _SHARES:
        low, high = (in_percent(row[f"{column} {end}"], 1) for end in ("low", "high"))
        return f"{in_percent(value, 1)}{between}[{low}, {high}]"
    return radius_name(value) if column == "eps" else str(value)


def _headers(shown):
    return [f"{name} %" if name in _SHARES else name for name in shown]


def _cells(frame, shown):
    return [[_text(row, name) for name in shown] for row in frame.to_dict("records")]


def _terminal(frame, said):
    grid = Table(title=f"Accuracy under attack, {escape(said)}", caption=_NOTE)
    for header, name in zip(_headers(_MAIN), _MAIN):
        is_text = name in _WORDS
        width = min(_NAME_WIDTH, max(map(len, frame["model"]))) if name == "model" else None
        justify = "left" if is_text else "right"
        grid.add_column(header, justify=justify, no_wrap=not is_text, min_width=width)
    # One column for all attacks: nine of them are wider than a terminal.
    grid.add_column("broken first by")
    for row in frame.to_dict("records"):
        cells = [_text(row, name, between="\n") for name in _MAIN]
        # A name in brackets is no markup.
        grid.add_row(*map(escape, [*cells, _breakers(row)]))
    console = Console(file=io.StringIO(), width=_WIDTH)
    console.print(grid)
    return console.file.getvalue()


def _breakers(row):
    counts = {name: value for name, value in row.items() if name not in _LEADING}
    found = [f"{name} {n}" for name, n in counts.items() if not pandas.isna(n) and n > 0]
    return ", ".join(found) or "-"


def _markdown(frame, shown, said):
    def line(cells):
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = ["---" if name in _WORDS else "---:" for name in shown]
    rows = [line(_headers(shown)), line(rule), *map(line, _cells(frame, shown))]
    return "\n".join([f"{said}; {_INTERVALS}.", "", *rows])


def _latex(frame, shown, said):
    def escaped(text):
        return "".join(_LATEX_SPECIAL.get(c, c) for c in text)

    def line(cells):
        return " & ".join(map(escaped, cells)) + r" \\"

    columns = "".join("l" if name in _WORDS else "r" for name in shown)
    first = escaped(f"{said}; {_INTERVALS}")
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            rf"\multicolumn{{{len(shown)}}}{{l}}{{{first}}} \\",
            r"\toprule",
            line(_headers(shown)),
            r"\midrule",
            *map(line, _cells(frame, shown)),
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )
