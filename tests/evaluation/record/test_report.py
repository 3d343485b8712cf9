"""The report of evaluations made by hand: its numbers, tables, curves and JSON."""

import dataclasses
import json

import numpy as np
import pytest

from lipot.evaluation import Evaluation, RobustnessReport, Verdict
from lipot.progress import Bar


def made(name="net", **changed):
    fields = {
        "name": name,
        "norm": 2,
        "eps": (0.5, 1.0),
        "attacks": ("pgd", "square"),
        "labels": np.array([0, 1, 1, 0]),
        "predictions": np.array([0, 1, 0, 0]),
        "broken_by": {0.5: np.array([-1, 0, -2, -1]), 1.0: np.array([1, 0, -2, -1])},
        "seconds": {"pgd": 1.5, "square": 2.0},
        "certified_radius": np.array([0.6, 0.1, np.inf, 2.0]),
        "certificate_note": "Proven.",
        "sanity": (Verdict("gradients", None, "Not run."), Verdict("transfer", True, "Fine.")),
        "settings": {"seed": 0},
        "versions": {"keras": "3"},
    }
    return Evaluation(**{**fields, **changed})


def test_accuracies():
    evaluation = made()
    assert evaluation.clean_accuracy == 0.75
    assert [evaluation.robust_accuracy(eps) for eps in (0.5, 1.0)] == [0.5, 0.25]
    # The third point has an infinite radius for a wrong prediction, the last one exactly 2.
    assert [evaluation.certified_accuracy(eps) for eps in (0.0, 0.5, 1.0, 2.0)] == [
        *(0.75, 0.5, 0.25, 0.25)
    ]
    assert made(certified_radius=None).certified_accuracy(0.5) is None
    assert (evaluation.broken("pgd", 1.0), evaluation.broken("square", 1.0)) == (1, 1)
    with pytest.raises(ValueError, match="`eps`. Expected one of"):
        evaluation.robust_accuracy(0.7)


def test_json_and_back(tmp_path):
    report = RobustnessReport([made(), made("other", norm="inf", certified_radius=None)])
    file = tmp_path / "made" / "report.json"
    text = report.to_json(file)
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    for source in (text, file, str(file)):
        again = RobustnessReport.from_json(source)
        assert again.to_json() == text
        for old, new in zip(report.evaluations, again.evaluations):
            assert old.sanity == new.sanity and old.eps == new.eps and old.norm == new.norm
            for eps in old.eps:
                assert np.array_equal(old.broken_by[eps], new.broken_by[eps])
    assert np.array_equal(
        RobustnessReport.from_json(text).evaluations[0].certified_radius, made().certified_radius
    )


@pytest.mark.parametrize("source", ['{"format": 99}', '{"a": 1}', "{broken"])
def test_json_of_something_else(source):
    with pytest.raises(ValueError, match="`source`. Expected a report"):
        RobustnessReport.from_json(source)


def test_table():
    other = made("other", attacks=("pgd",), certified_radius=None)
    other.broken_by[1.0][0] = 0
    report = RobustnessReport([made(), other])
    frame = report.table(columns="all")
    assert frame["robust"].tolist() == [0.5, 0.25, 0.5, 0.25]
    assert frame["certified"].tolist()[:2] == [0.5, 0.25]
    assert frame["certified"].isna().tolist()[2:] == [True, True]
    assert frame["square"].isna().tolist() == [False, False, True, True]
    assert frame["pgd"].tolist() == [1, 1, 1, 2]
    main = report.table()
    assert main.equals(frame[main.columns]) and not {"pgd", "square"} & set(main.columns)
    # Of 4 points: 1 - 0.975 ** (1 / 4) and 0.025 ** (1 / 4) where 1, or all but 1, are counted.
    assert main["clean low"][0] == pytest.approx(0.19412, abs=1e-5)
    assert main["robust low"][1] == pytest.approx(1 - 0.975 ** (1 / 4))
    assert main["clean high"][0] == pytest.approx(0.975 ** (1 / 4))
    assert main["certified high"].isna().tolist() == [False, False, True, True]
    with pytest.raises(ValueError, match="`columns`. Expected one of"):
        report.table(columns="few")


def test_text_tables():
    report = RobustnessReport([made("a_b|c")])
    terminal, markdown, latex = (report.table(f) for f in ("terminal", "markdown", "latex"))
    assert "a_b|c" in terminal and "75.0" in terminal and "robust %" in terminal
    assert "[19.4, 99.4]" in terminal
    assert "pgd 1, square 1" in terminal and max(map(len, terminal.splitlines())) <= 100
    first = "| a_b\\|c | 2 | 0.5 | 4 | 75.0 [19.4, 99.4] | 50.0 [6.8, 93.2] | 50.0 [6.8, 93.2] |"
    assert markdown.splitlines()[4] == first
    assert report.table("markdown", "all").splitlines()[4] == f"{first} 1 | 0 |"
    row = r"a\_b\textbar{}c & 2 & 0.5 & 4 & 75.0 [19.4, 99.4] & 50.0 [6.8, 93.2]"
    assert row in latex and latex.count(r"\\") == 4
    angled = RobustnessReport([made("<a>")]).table("latex")
    assert r"\textless{}a\textgreater{} & 2 & 0.5" in angled
    with pytest.raises(ValueError, match="`format`. Expected one of"):
        report.table("html")


def test_the_first_line_says_what_a_radius_measures():
    pixels = made(settings={"data range": [0.0, 255.0]})
    said = "eps: l2 distance, inputs from 0 to 255"
    report = RobustnessReport([pixels])
    assert said in report.table("terminal").splitlines()[0]
    assert report.table("markdown").startswith(f"{said}; in brackets: 95 % confidence")
    assert report.table("latex").splitlines()[1].startswith(rf"\multicolumn{{7}}{{l}}{{{said};")
    assert report.table()["inputs"].tolist() == ["0 to 255"] * 2
    two = RobustnessReport([pixels, made("<old>", norm="inf")])
    both = f"{said} (net); l-infinity distance, in units of the inputs (<old>)"
    assert two.table("markdown").startswith(both)
    page = two._repr_html_()
    assert f"<caption>Accuracy under attack, {both};".replace("<old>", "&lt;old&gt;") in page
    assert "<td>50.0 [6.8, 93.2]</td>" in page and page.count("<tr>") == 5


def test_plot_draws_what_the_record_says():
    ax = RobustnessReport([made(), made("other", certified_radius=None)]).plot()
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert len({line.get_color() for line in lines.values()}) == 2
    assert set(lines) == {"net, under attack", "net, proven", "other, under attack"}
    assert lines["net, under attack"].get_xydata().tolist() == [[0, 75], [0.5, 50], [1, 25]]
    # Between the marks no less is claimed than what is known: never below what is proven.
    assert lines["net, under attack"].get_drawstyle() == "steps-post"
    proven = lines["net, proven"].get_xydata()
    assert proven[0].tolist() == [0.0, 75.0] and proven[-1].tolist() == [1.0, 25.0]
    assert np.all(np.diff(proven[:, 1]) <= 0)


def test_a_report_needs_evaluations():
    for wrong in ([], [1]):
        with pytest.raises(ValueError, match="Expected at least one Evaluation"):
            RobustnessReport(wrong)


def test_json_of_a_report_with_missing_parts():
    record = json.loads(RobustnessReport([made()]).to_json())
    del record["evaluations"][0]["labels"]
    with pytest.raises(ValueError, match="`source`. Expected a whole report.*'labels'"):
        RobustnessReport.from_json(json.dumps(record))


@pytest.mark.parametrize("name", ["eps [0.1]", "TRADES [eps=0.1]", "net [/x]", "$x^{$"])
def test_names_are_text_not_markup(name):
    report = RobustnessReport([made(name), made("other")])
    assert name in report.table("terminal")
    report.plot().figure.canvas.draw()
    with Bar(name) as bar:
        bar.plan("pgd", [1.0])


def test_radii_and_shares_are_shown_as_they_are_meant():
    eps, count = 8 / 255, 25_000
    all_but_one = np.full(count, -1)
    all_but_one[0] = 0
    zeros = np.zeros(count, int)
    found = made(eps=(eps,), labels=zeros, predictions=zeros, broken_by={eps: all_but_one})
    found = RobustnessReport([dataclasses.replace(found, certified_radius=None)])
    assert "| 8/255 | 25000 | 100.0 [99.99, 100.0] | 99.996 [" in found.table("markdown")
    assert "robust 99.996 % at 8/255" in repr(found.evaluations[0])
