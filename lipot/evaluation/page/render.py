"""Puts a report on its page."""

import base64
import dataclasses
import functools
import json
import pathlib
from typing import NamedTuple

import jinja2
import numpy as np

from lipot.evaluation.page import classes, prose
from lipot.evaluation.page.board import Cell, boards, share_cell
from lipot.evaluation.page.section import Drawing
from lipot.evaluation.page.svg import WIDE, drawing
from lipot.evaluation.page.views import sections
from lipot.evaluation.record import curves, tables
from lipot.evaluation.record.palette import MARKERS, SERIES
from lipot.math.norms import norm_name

# The signs that stand for Matplotlib's markers in the key.
_SIGNS = dict(zip(MARKERS, "●■▲◆▼✚✖★◀▶"))
# Radii between 0 and the largest at which a pointer can read what is proven.
_READINGS = 200


class _Card(NamedTuple):
    """One accuracy at the head of the page: what it is, in percent, and how sure that is."""

    title: str
    share: str
    interval: str
    note: str


class _Model(NamedTuple):
    """What the template shows of one evaluation, in the colour of its curve."""

    name: str
    color: str
    sign: str
    facts: list
    range: str
    cards: tuple
    verdict: str
    trust: str
    standing: str
    checks: tuple
    certificate_note: str
    settings: list


class _Part(NamedTuple):
    """A part of the page: what it shows of each model, side by side."""

    name: str
    short: str
    title: str
    text: str
    sections: list


class _Curves(NamedTuple):
    """The figure of one norm: its drawing, its models, and what a pointer reads off it."""

    drawing: Drawing
    key: list
    proven: bool
    data: str


def save(report, path):
    """Writes a report as one self-contained page.

    The page holds its figures and its style; it asks for nothing else. A few lines of script sort
    its tables and read values off its curves; it is whole without them.

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
        models=[_model(e, *_look(index)) for index, e in enumerate(report.evaluations)],
        parts=_parts(report.evaluations),
        units=tables.units(report.evaluations),
        boards=boards(report.evaluations) if len(report.evaluations) > 1 else [],
        curves=_curves(report.evaluations),
        table=_table(report.evaluations),
        downloads=_downloads(report),
    )


def _look(index):
    """Colour and sign of a model, the same wherever it is shown."""
    color = f"var(--series-{index % len(SERIES)})"
    return color, _SIGNS[MARKERS[index % len(MARKERS)]]


def _parts(evaluations):
    """Every part of the page with the sections of all models."""
    shown = []
    for index, evaluation in enumerate(evaluations):
        prefix = f"m{index}"
        shown.append([classes.section(evaluation, prefix), *sections(evaluation, prefix)])
    return [_part(list(same)) for same in zip(*shown)]


def _part(same):
    """One part: words that hold for every model stand above it once."""
    texts = {section.text for section in same}
    text = texts.pop() if len(texts) == 1 else ""
    if text:
        same = [section._replace(text="") for section in same]
    name = same[0].name
    return _Part(name, name.replace("-", " ").capitalize(), same[0].title, text, same)


def _model(evaluation, color, sign):
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
        color=color,
        sign=sign,
        facts=_facts(evaluation),
        range=_range(evaluation),
        cards=_cards(evaluation),
        verdict=prose.verdict(evaluation),
        trust=prose.trust(evaluation),
        standing=prose.standing(evaluation),
        checks=checks,
        certificate_note=evaluation.certificate_note,
        settings=[(name, _plain(value)) for name, value in {**settings, "time": seconds}.items()],
    )


def _facts(evaluation):
    """Pairs of what the head says of a model, its data, and when and where it was evaluated."""
    about, found = evaluation.about, evaluation.circumstances
    count = about.get("parameters")
    named = {
        "model": _joined(about.get("architecture"), count and f"{count} parameters"),
        "data": _joined(about.get("data"), found.get("data")),
        "attacks": prose.listed(evaluation.attacks),
        "date": found.get("date"),
        "machine": found.get("machine"),
    }
    return [(name, text) for name, text in named.items() if text]


def _joined(*texts):
    return ", ".join(filter(None, texts))


def _range(evaluation):
    how = evaluation.settings.get("data range is")
    return f"The range of the inputs is {how}." if how else ""


def _cards(evaluation):
    eps = prose.headline_eps(evaluation)
    reach = prose.ball(eps, evaluation.norm)
    accuracies = (
        ("clean", evaluation.clean_accuracy, "right without an attack"),
        ("robust", evaluation.robust_accuracy(eps), f"no attack of {reach} broke; at most this"),
        ("proven", evaluation.certified_accuracy(eps), f"no attack of {reach} can; at least this"),
    )
    return tuple(_card(evaluation, *accuracy) for accuracy in accuracies)


def _card(evaluation, title, share, note):
    if share is None:
        return _Card(title, "–", "", "no certificate of this model")
    interval = f"95 % interval {prose.percents(evaluation.interval(share))}"
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


def _curves(evaluations):
    """A figure for each norm: radii of different norms share no axis."""
    looks = [_look(index) for index in range(len(evaluations))]
    found = []
    for norm in dict.fromkeys(evaluation.norm for evaluation in evaluations):
        places = [index for index, e in enumerate(evaluations) if e.norm == norm]
        shown = [evaluations[index] for index in places]
        draw = functools.partial(curves.draw, evaluations=shown, places=places)
        svg = drawing(f"curves-{norm}", WIDE, 3.1, draw)
        alt = " ".join(prose.describe_curve(evaluation) for evaluation in shown)
        key = [(*looks[index], e.name) for index, e in zip(places, shown)]
        proven = any(e.certified_radius is not None for e in shown)
        found.append(_Curves(Drawing(svg, alt), key, proven, _readable(shown, key)))
    return found


def _readable(evaluations, key):
    """What the script reads off curves, as JSON: radii, and the words for what holds there."""
    reach = max(evaluation.eps[-1] for evaluation in evaluations)
    models = []
    for evaluation, (color, sign, name) in zip(evaluations, key):
        radii = np.linspace(0.0, reach, _READINGS + 1)
        proven = [evaluation.certified_accuracy(radius) for radius in radii]
        held = [evaluation.clean_accuracy, *map(evaluation.robust_accuracy, evaluation.eps)]
        models.append(
            {
                "sign": sign,
                "color": color,
                "name": name,
                "eps": [0, *evaluation.eps],
                "attacks": ["without attack", *map(prose.attack_of, evaluation.eps)],
                "held": list(map(prose.percent, held)),
                "proven": None if None in proven else list(map(prose.percent, proven)),
            }
        )
    norm = norm_name(evaluations[0].norm)
    return json.dumps({"reach": reach, "norm": norm, "models": models}, ensure_ascii=False)


def _table(evaluations):
    rows = []
    for evaluation in evaluations:
        for eps in evaluation.eps:
            shares = (
                evaluation.clean_accuracy,
                evaluation.robust_accuracy(eps),
                evaluation.certified_accuracy(eps),
            )
            broken = {name: evaluation.broken(name, eps) for name in evaluation.attacks}
            first = ", ".join(f"{name} {count}" for name, count in broken.items() if count) or "–"
            rows.append(
                (
                    Cell(evaluation.name, "", evaluation.name),
                    Cell(prose.ball(eps, evaluation.norm), "", f"{eps:.9f}"),
                    *(share_cell(evaluation, share) for share in shares),
                    Cell(first, "", f"{sum(broken.values())}"),
                )
            )
    return rows


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
