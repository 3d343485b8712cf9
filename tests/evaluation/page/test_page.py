"""The page is complete and stands alone."""

import base64
import dataclasses
import html.parser
import io
import json
import pathlib
import re

import numpy as np
import pandas
import pytest
from PIL import Image

from lipot.evaluation import page
from lipot.evaluation.page import images, prose
from lipot.evaluation.page.board import boards
from lipot.evaluation.record.report import RobustnessReport
from lipot.evaluation.record.view import Absent
from tests.evaluation.page.cases import FAILED, PASSED, SKIPPED, made, ranked

FIGURES = {
    "curves",
    "classes",
    "gallery",
    "cross-sections",
    "singular-values",
    "activations",
    "embedding",
}


class _Reader(html.parser.HTMLParser):
    """Collects ids, figures and what is asked for from elsewhere; fails on crossed tags."""

    void = {"meta", "link", "img", "br"}

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.figures, self.addresses, self.alts = [], [], set(), [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in self.void:
            self.open.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.figures |= {attributes["data-figure"]} if "data-figure" in attributes else set()
        self.addresses += [attributes[k] for k in ("src", "href", "xlink:href") if k in attributes]
        if tag == "img":
            self.alts.append(attributes["alt"])
        if attributes.get("role") == "img":
            self.alts.append(attributes["aria-label"])

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.void:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_stands_alone(written):
    text = written.read_text()
    read = _Reader(text)
    assert read.figures == FIGURES
    assert len(set(read.ids)) == len(read.ids)
    assert all(address.startswith(("data:", "#")) for address in read.addresses)
    assert all(address[1:] in read.ids for address in read.addresses if address[0] == "#")
    assert all(len(alt) > 10 for alt in read.alts) and len(read.alts) == 24 + 11
    assert text.count("<script>") == 1 and "<script " not in text and "@import" not in text
    assert len(text) < 3_000_000
    assert set(re.findall(r"https?://[\w./-]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_no_colour_is_left_that_a_dark_page_would_hide(written):
    drawn = re.findall(r"<svg.*?</svg>", written.read_text(), flags=re.DOTALL)
    left = {color for svg in drawn for color in re.findall(r"#[0-9a-f]{6}\b", svg)}
    # The lines on the pale regions of a cross-section, which are pale on every page.
    assert left <= {"#111111"}
    assert all("<style" not in svg and "<metadata" not in svg for svg in drawn)


def test_the_same_report_makes_the_same_page(evaluation, written):
    assert page.render(RobustnessReport([evaluation])) == written.read_text()
    again = RobustnessReport.from_json(RobustnessReport([evaluation]).to_json())
    assert page.render(again) == written.read_text()


def test_the_verdict_says_what_was_measured(evaluation):
    proven = 100 * np.mean(evaluation.certified_radius > 0.5)
    assert prose.verdict(evaluation) == (
        "small net gets 100.0 % of 24 points right. When an attacker may move each input by 0.5 "
        "in l2, 62.5 % stay right under the worse of fgsm and pgd, and "
        f"{proven:.1f} % provably do."
    )
    bare = dataclasses.replace(evaluation, certified_radius=None, attacks=("a", "b", "c"))
    assert prose.verdict(bare).endswith("under the worst of 3 attacks; nothing is proven.")


@pytest.mark.parametrize(
    ("checks", "words"),
    [
        ((PASSED, SKIPPED), "1 of 1 sanity checks passed"),
        ((PASSED, FAILED), "Do not rely on the accuracy under attack: 1 of 2"),
        ((SKIPPED,), "No sanity check was run"),
    ],
)
def test_the_checks_decide_whether_numbers_are_to_be_trusted(evaluation, checks, words):
    assert words in prose.trust(dataclasses.replace(evaluation, sanity=checks))


def test_the_head_has_three_verdicts_and_says_what_a_radius_is(evaluation):
    settings = {"data range": [0.0, 255.0], "data range is": "given"}
    text = page.render(RobustnessReport([dataclasses.replace(evaluation, settings=settings)]))
    head = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text.partition("<main>")[0]))
    assert "eps: l2 distance, inputs from 0 to 255. clean 100.0 %" in head
    # 24 of 24 points, and 15: SciPy's beta quantiles.
    assert "clean 100.0 % 95 % interval 85.8 – 100.0 right without an attack" in head
    assert "robust 62.5 % 95 % interval 40.6 – 81.2 no attack of 0.5 in l2 broke; at most" in head
    assert "The range of the inputs is given." in head
    bare = dataclasses.replace(evaluation, certified_radius=None)
    shown = re.sub(r"<[^>]+>|\s+", " ", page.render(RobustnessReport([bare])))
    assert re.search(r"proven +– +no certificate of this model", shown)


def test_the_data_can_be_saved_from_the_page_itself(evaluation, written):
    found = re.findall(r'download="([^"]+)" href="data:[^,]+,([^"]+)"', written.read_text())
    data = {name: base64.b64decode(text).decode() for name, text in found}
    again = RobustnessReport.from_json(data["report.json"])
    report = RobustnessReport([evaluation])
    assert again.table(columns="all").equals(report.table(columns="all"))
    read = pandas.read_csv(io.StringIO(data["report.csv"]))
    assert read["robust"].tolist() == report.table()["robust"].tolist()
    assert read["fgsm"].tolist() == [0, 6, 24]


def test_words_of_the_user_are_text_not_markup(evaluation):
    named = dataclasses.replace(evaluation, name="<b>&'\"</b>", settings={"<i>": "<u>"})
    text = page.render(RobustnessReport([named]))
    assert "<b>" not in text and "<i>" not in text and "<u>" not in text
    _Reader(text)


def test_several_models_and_norms_share_a_page(evaluation):
    second = dataclasses.replace(made("other", norm="inf", checks=(FAILED,)), views={})
    absent = {"gallery": Absent("There is no gallery: no images.")}
    third = dataclasses.replace(evaluation, name="third", certified_radius=None, views=absent)
    text = page.render(RobustnessReport([evaluation, second, third]))
    read = _Reader(text)
    assert len(set(read.ids)) == len(read.ids)
    assert "Robustness of small net, other and third" in text
    # One figure of curves for each norm.
    assert text.count('data-figure="curves"') == 2
    assert "There is no gallery: no images." in text and "It was not asked for." in text
    assert text.count('<p class="trust suspicious">') == 1
    unchecked = dataclasses.replace(evaluation, sanity=())
    assert '<p class="trust untested">' in page.render(RobustnessReport([unchecked]))


def test_a_leaderboard_ranks_models_that_were_attacked_alike(evaluation):
    first, second = boards(ranked(evaluation))
    assert (first.title, second.title) == ("0.5 in l2", "0.5 in l-infinity")
    assert first.columns == ("clean", "robust", "proven", "checks", "parameters", "licence")
    assert [(row.rank, row.name, row.anchor) for row in first.rows] == [
        *((1, "strong", "m1"), (2, "weak", "m0"), (3, "unproven", "m2"))
    ]
    cells = [cell.text for cell in first.rows[2].cells]
    assert cells == ["100.0 %", "62.5 %", "–", "1 of 1", "–", "–"]
    assert [row.anchor for row in second.rows] == ["m3"]
    twins = boards([evaluation, dataclasses.replace(evaluation, name="twin")])[0]
    assert [row.rank for row in twins.rows] == [1, 1]


def test_what_failed_a_check_ranks_after_all_that_failed_none(evaluation):
    weak, strong, *_ = ranked(evaluation)
    blind = dataclasses.replace(strong, sanity=(PASSED, FAILED))
    (board,) = boards([blind, weak])
    assert [(row.rank, row.name) for row in board.rows] == [(1, "weak"), (2, "strong")]
    unchecked = dataclasses.replace(strong, sanity=())
    (board,) = boards([weak, unchecked, blind])
    assert [row.anchor for row in board.rows] == ["m1", "m0", "m2"]
    # Attacks along single draws of a random model are no better.
    settings = {**strong.settings, "random model": True, "eot samples": 1}
    (board,) = boards([dataclasses.replace(strong, settings=settings), weak])
    assert [row.name for row in board.rows] == ["weak", "strong"]


def test_the_head_says_what_when_and_where(evaluation):
    about = {"architecture": "2 Dense", "parameters": "1,000", "data": "digits"}
    found = {"data": "24 points of 6 x 6 x 1", "date": "2030-01-02", "machine": "a loom"}
    told = dataclasses.replace(evaluation, about=about, circumstances=found, views={})
    head = page.render(RobustnessReport([told])).partition("<main>")[0]
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", head))
    assert facts == {
        "model": "2 Dense, 1,000 parameters",
        "data": "digits, 24 points of 6 x 6 x 1",
        "attacks": "fgsm and pgd",
        "date": "2030-01-02",
        "machine": "a loom",
    }
    again = RobustnessReport.from_json(RobustnessReport([told]).to_json())
    assert again.evaluations[0].circumstances == found


def test_compared_models_stand_side_by_side_in_their_colours(evaluation):
    other = dataclasses.replace(evaluation, name="other")
    text = page.render(RobustnessReport([evaluation, other]))
    for name in FIGURES - {"curves"}:
        part = re.search(rf'<section id="{name}".*?</section>', text, flags=re.DOTALL)[0]
        columns = re.findall(r'<div class="model" id="m(\d)-.*?--model: (.*?)">', part)
        assert columns == [("0", "var(--series-0)"), ("1", "var(--series-1)")]
    signs = re.findall(r'<span class="sign" style="color: var\(--series-1\)">(.)</span>other', text)
    assert set(signs) == {"■"} and len(signs) == 2 + len(FIGURES)
    curves = re.search(r'data-figure="curves".*?</figure>', text, flags=re.DOTALL)[0]
    assert "var(--series-1)" in re.search(r"<svg.*?</svg>", curves, flags=re.DOTALL)[0]
    assert text.count("Each row: an image") == 1


def test_the_script_reads_the_words_of_the_page(evaluation):
    text = page.render(RobustnessReport([evaluation]))
    curves = re.search('data-curves="(.*?)">', text)[1]
    (read,) = json.loads(html.unescape(curves))["models"]
    assert read["attacks"][:2] == ["without attack", f"under attack of {evaluation.eps[0]:g}"]
    robust = map(evaluation.robust_accuracy, evaluation.eps)
    assert read["held"] == [*map(prose.percent, (evaluation.clean_accuracy, *robust))]
    assert read["proven"][-1] == prose.percent(evaluation.certified_accuracy(evaluation.eps[-1]))


def test_many_classes_show_the_weakest(evaluation):
    labels = np.arange(24)
    many = dataclasses.replace(evaluation, labels=labels, predictions=labels, views={})
    text = page.render(RobustnessReport([many]))
    assert "Only the 20 classes that fare worst" in text
    assert "class 0: 100.0 % clean, 0.0 % under attack" in text
    assert "class 23:" not in text


def test_colours_of_a_change():
    grey = np.array([[[-1.0]], [[0.0]], [[1.0]]])
    assert _pixels(images.change(grey, 1.0)) == [[178, 24, 43], [255, 255, 255], [33, 102, 172]]
    assert _pixels(images.picture(grey, -1.0, 1.0)) == [[0] * 3, [128] * 3, [255] * 3]


def _pixels(address):
    data = base64.b64decode(address.partition("base64,")[2])
    return np.asarray(Image.open(io.BytesIO(data))).reshape(-1, 3).tolist()


def test_the_template_is_part_of_the_package():
    settings = (pathlib.Path(__file__).parents[3] / "pyproject.toml").read_text()
    declared = re.search(r'"lipot.evaluation.page" = \[(.*?)\]', settings)[1]
    for file in pathlib.Path(page.__file__).parent.iterdir():
        if file.suffix not in (".py", "") and file.is_file():
            assert f'"*{file.suffix}"' in declared
