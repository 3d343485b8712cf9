"""The page of a robustness report: one HTML file that needs nothing but a browser."""

import base64
import dataclasses
import pathlib
from typing import NamedTuple

import jinja2

from lipot.evaluation import tables
from lipot.evaluation.evaluation import norm_name
from lipot.evaluation.page import figures, prose
from lipot.evaluation.page.board import boards
from lipot.evaluation.page.sections import Drawing, Section, sections
from lipot.evaluation.page.svg import MARKERS, SERIES

# The signs that stand for Matplotlib's markers in the key.
_SIGNS = dict(zip(MARKERS, "●■▲◆▼✚✖★◀▶"))


class _Card(NamedTuple):
    """One accuracy at the head of the page: what it is, in percent, and how sure that is."""

    title: str
    share: str
    interval: str
    note: str


class _Model(NamedTuple):
    """What the template shows of one evaluation."""

    name: str
    range: str
    cards: tuple
    verdict: str
    trust: str
    standing: str
    checks: tuple
    certificate_note: str
    sections: list
    settings: list


def save(report, path):
    """Writes a report as one self-contained page.

    The page holds its figures and its style; it asks for nothing else. That of one model runs no
    script; that of several a few lines that sort the leaderboard.

    Args:
        report: `lipot.evaluation.RobustnessReport`.
        path: File to write; folders on the way are made.

    Returns:
        The path as an absolute `pathlib.Path`.
    """
    path = pathlib.Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(report), encoding="utf-8")
    return path


def render(report):
    """Returns the page of a report as a string."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lipot.evaluation.page", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    names = dict.fromkeys(evaluation.name for evaluation in report.evaluations)
    return environment.get_template("page.html").render(
        title=f"Robustness of {prose.listed(names)}",
        models=[_model(e, f"m{index}") for index, e in enumerate(report.evaluations)],
        units=tables.units(report.evaluations),
        boards=boards(report.evaluations) if len(report.evaluations) > 1 else [],
        curves=_curves(report.evaluations),
        table=_table(report.evaluations),
        downloads=_downloads(report),
    )


def _model(evaluation, prefix):
    checks = tuple(
        (verdict, {True: "passed", False: "failed", None: "not run"}[verdict.passed])
        for verdict in evaluation.sanity
    )
    settings = {
        **evaluation.settings,
        **{f"{k} version": v for k, v in evaluation.versions.items()},
    }
    seconds = {name: f"{spent:.1f} s" for name, spent in evaluation.seconds.items()}
    return _Model(
        name=evaluation.name,
        range=_range(evaluation),
        cards=_cards(evaluation),
        verdict=prose.verdict(evaluation),
        trust=prose.trust(evaluation),
        standing=_standing(evaluation),
        checks=checks,
        certificate_note=evaluation.certificate_note,
        sections=sections(evaluation, prefix),
        settings=[(name, _plain(value)) for name, value in {**settings, "time": seconds}.items()],
    )


def _range(evaluation):
    how = evaluation.settings.get("data range is")
    return f"The range of the inputs is {how}." if how else ""


def _cards(evaluation):
    eps = prose.headline_eps(evaluation)
    reach = f"{eps:g} in {norm_name(evaluation.norm)}"
    accuracies = (
        ("clean", evaluation.clean_accuracy, "right without an attack"),
        ("robust", evaluation.robust_accuracy(eps), f"no attack of {reach} broke; at most this"),
        ("proven", evaluation.certified_accuracy(eps), f"no attack of {reach} can; at least this"),
    )
    return tuple(_card(evaluation, *accuracy) for accuracy in accuracies)


def _card(evaluation, title, share, note):
    if share is None:
        return _Card(title, "–", "", "no certificate of this model")
    low, high = evaluation.interval(share)
    interval = f"95 % interval {100 * low:.1f} – {100 * high:.1f}"
    return _Card(title, prose.percent(share), interval, note)


def _downloads(report):
    """Names and addresses of the data behind the page, which are part of it."""
    # The arrays of the views would double the page.
    bare = [dataclasses.replace(evaluation, views={}) for evaluation in report.evaluations]
    contents = (
        ("report.json", "application/json", type(report)(bare).to_json()),
        ("report.csv", "text/csv", report.table(columns="all").to_csv(index=False)),
    )
    return [
        (name, f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}")
        for name, kind, text in contents
    ]


def _standing(evaluation):
    """How far the accuracy under attack may be trusted: the page's class of that sentence."""
    results = {verdict.passed for verdict in evaluation.sanity}
    if False in results or evaluation.misses_randomness:
        return "suspicious"
    return "tested" if True in results else "untested"


def _curves(evaluations):
    """A figure for each norm: radii of different norms share no axis."""
    found = []
    for norm in dict.fromkeys(evaluation.norm for evaluation in evaluations):
        shown = [evaluation for evaluation in evaluations if evaluation.norm == norm]
        svg = figures.curves(f"curves-{norm}", shown)
        alt = " ".join(prose.describe_curve(evaluation) for evaluation in shown)
        key = [
            (f"var(--series-{index % len(SERIES)})", _SIGNS[MARKERS[index % len(MARKERS)]], e.name)
            for index, e in enumerate(shown)
        ]
        found.append((Drawing(svg, alt), key, any(e.certified_radius is not None for e in shown)))
    return found


def _table(evaluations):
    rows = []
    for evaluation in evaluations:
        for eps in evaluation.eps:
            proven = evaluation.certified_accuracy(eps)
            broken = {name: evaluation.broken(name, eps) for name in evaluation.attacks}
            rows.append(
                (
                    evaluation.name,
                    f"{eps:g} in {norm_name(evaluation.norm)}",
                    _share(evaluation, evaluation.clean_accuracy),
                    _share(evaluation, evaluation.robust_accuracy(eps)),
                    _share(evaluation, proven),
                    ", ".join(f"{name} {count}" for name, count in broken.items() if count) or "–",
                )
            )
    return rows


def _share(evaluation, share):
    """The two lines of an accuracy in the table: itself, and its interval."""
    if share is None:
        return "–", ""
    low, high = evaluation.interval(share)
    return prose.percent(share), f"{100 * low:.1f} – {100 * high:.1f}"


def _plain(value):
    """A setting in words.

    Example:

    >>> _plain({"pgd": {"steps": 40, "range": [0.0, 1.0]}, "left out": []})
    'pgd: (steps: 40, range: 0, 1); left out: none'
    """
    if isinstance(value, dict):
        inner = [
            f"{name}: {f'({_plain(part)})' if isinstance(part, dict) and part else _plain(part)}"
            for name, part in value.items()
        ]
        nested = any(isinstance(part, dict) for part in value.values())
        return ("; " if nested else ", ").join(inner) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value)) or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else str(value)
