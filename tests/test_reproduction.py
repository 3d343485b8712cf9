"""The page of the papers' tables is current, and no figure on it was made up."""

import pathlib

import pytest

from benchmarks import reproduce
from benchmarks.common import paper_row, papers
from benchmarks.render import choosing, measured, otad, readme
from benchmarks.transport import recipes

TABLES = [table for paper in papers() for table in paper["tables"]]


def test_the_page_is_current():
    assert reproduce.PAGE.read_text() == reproduce.rendered(), "Run python -m benchmarks.reproduce"


def test_the_measured_figures_of_the_choice_are_current():
    assert choosing.PAGE.read_text() == choosing.rendered(), (
        "Run python -m benchmarks.render.choosing"
    )


def test_the_measured_figures_of_otad_are_current():
    assert otad.PAGE.read_text() == otad.rendered(), "Run python -m benchmarks.render.otad"


def test_a_row_of_a_paper_is_found_by_its_table_and_label():
    assert paper_row("OTAD", "III", "OTAD") == [96.3, 63.0, 41.6]
    assert paper_row("OTAD", "XII", "KNN", about="CIFAR-10") == [34.8, 35.2, 35.3]
    with pytest.raises(LookupError, match="2 rows 'KNN'"):
        paper_row("OTAD", "XII", "KNN")


def test_a_bound_of_a_small_number_is_rounded_up():
    assert readme._rounded_up(3.023e-06) == "3.1e-06"
    assert readme._rounded_up(9.96e-06) == "1.0e-05"


def test_an_older_figure_says_that_it_is_older(monkeypatch):
    settings, environment = {"depth": 3, "width": 4, "batch": 5}, {"processor": "A"}
    record = {"settings": settings, "date": "2026-01-01", "environment": environment}
    wide = {"date": "2026-01-02", "environment": {"processor": "B"}}
    monkeypatch.setattr(measured, "read_result", lambda name: wide)
    assert "before the retraction" in measured.overhead(record)
    assert "another processor" in measured.overhead(record)
    assert "before" not in measured.overhead({**record, "date": "2026-01-02"})


@pytest.mark.parametrize("page", measured.PAGES, ids=lambda page: page.stem)
def test_the_measured_tables_are_current(page):
    assert page.read_text() == measured.rendered(page), "Run python -m benchmarks.render.measured"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table["title"][:40])
def test_every_row_is_whole_and_every_missing_one_says_why(table):
    for row, shown in zip(table["rows"], reproduce.rows_of(table), strict=True):
        assert len(row["paper"]) == len(table["columns"]) == len(shown.pairs)
        assert len(row.get("here", row["paper"])) == len(row["paper"])
        assert shown.source or shown.missing
        if not shown.source:
            assert not any(ours for ours, _ in shown.pairs)


def test_a_table_without_a_figure_says_so_once():
    table = {"table": "1", "title": "A thing. Mind it", "columns": ["clean"], "scale": 1}
    rows = [{"label": label, "paper": [90.0], "absent": "no data"} for label in "ab"]
    shown = reproduce._section({**table, "absent": "no data", "rows": rows})
    assert shown.count("No data.") == 1 and "| a | 90.00 |" in shown and "ours" not in shown
    rows = [{"label": label, "paper": [None], "absent": "no data"} for label in "ab"]
    assert reproduce._section({**table, "absent": "no data", "rows": rows}).endswith("rows: a; b.")


def test_every_command_names_a_script_that_exists():
    commands = [
        reproduce.command_for(table, row)
        for table in TABLES
        for row in table["rows"]
        if "here" in row
    ]
    for command in commands:
        python, flag, module = command.split()[:3]
        assert (python, flag) == ("python", "-m")
        path = pathlib.Path(reproduce.__file__).parents[1] / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def test_figures_agree_with_those_the_benchmarks_know():
    table = next(t for t in TABLES if t["title"].startswith("MNIST, l-infinity 0.3"))
    for row in (row for row in table["rows"] if "here" in row):
        recipe = recipes.MAIN[row["here"][0][0]]
        if any(row["paper"]):
            # A row may say of itself what sets it apart: "PGD-AT, 14 epochs".
            assert tuple(row["paper"]) == recipe.paper
            assert row["label"].partition(", ")[0] == row["here"][0][0]
        else:
            assert recipe.paper is None and row["label"].endswith(", of another paper")


def test_the_page_says_how_sure_a_row_is_and_what_it_cost(monkeypatch):
    machine = {"processor": "AMD EPYC"}
    made = {"minutes": {"processor": 12.4}, "machine": machine, "clean": 0.98}
    row = {
        "mean": {"clean": 0.98, "pgd": 0.0},
        "intervals": {"clean": [0.97, 0.99]},
        "seeds": {"0": made, "1": {**made, "pgd": 0.0}, "2": {"minutes": {"processor": 3.0}}},
        "short of the paper": "1 epoch for 100",
    }
    record = {"figures": {"A": row}, "settings": {}, "date": "today"}
    monkeypatch.setattr(reproduce, "read_result", lambda name: record)
    columns = ["clean", "PGD"]
    table = {"scale": 100, "result": "papers/x", "command": "python -m it", "columns": columns}
    here = [["A", "mean", "clean"], ["A", "mean", "pgd"]]
    told = {"label": "A", "paper": [99.0, 95.0], "here": here, "note": "of late"}
    shown = reproduce._row(table, told)
    assert shown.pairs == [("98.00 (97.00 to 99.00)", "99.00"), ("0.00", "95.00")]
    spent = "seeds 0, 1: 12, 12 processor minutes on AMD EPYC"
    assert shown.spent == f"{spent}; PGD of seed 1 alone; of late"
    assert shown.source == "`benchmarks/results/papers/x.json`, today; 1 epoch for 100"


def test_a_result_stands_beside_the_paper(monkeypatch):
    record = {"figures": {"A": {"clean": 0.9876}}, "settings": {"epochs": 3}, "date": "today"}
    monkeypatch.setattr(reproduce, "read_result", lambda name: record)
    table = {
        "table": "1",
        "title": "Somewhere. With care",
        "columns": ["clean", "PGD"],
        "scale": 100,
        "result": "some/where",
        "command": "python -m it",
        "rows": [
            {"label": "A", "paper": [99.0, 97.5], "here": [["A", "clean"], ["A", "pgd"]]},
            {"label": "B", "paper": [98.0, 97.0], "here": [["B", "clean"], ["B", "pgd"]]},
        ],
    }
    shown = reproduce._section(table).splitlines()
    assert shown[:3] == ["### Table 1: Somewhere", "", "With care."]
    assert shown[6:] == [
        "| A | **98.76** / 99.00 | – / 97.50 | the rest not run |",
        "| B | – / 98.00 | – / 97.00 | not run |",
        "",
        "- Here: `benchmarks/results/some/where.json`, today; epochs 3",
        "- Not run: `python -m it`",
    ]


def test_a_budget_says_what_was_attacked_and_what_was_not():
    settings = {"epochs": 3, "points": 500, "square_points": 200}
    table = {"budget": ["epochs", "square_points", "points"], "clean": "all"}
    assert reproduce._budget(settings, table) == "epochs 3; attacked: 200 test points; clean: all"
    assert reproduce._budget({"least_steps": 20}, {"budget": ["least_steps"]}) == (
        "training steps 20"
    )


def test_rows_of_several_results_say_which(monkeypatch):
    records = {
        name: {"figures": {"A": {"clean": share}}, "settings": {}, "date": "today"}
        for name, share in (("one", 0.9), ("two", 0.8))
    }
    monkeypatch.setattr(reproduce, "read_result", records.get)
    row = {"label": "A", "paper": [None], "here": [["A", "clean"]]}
    rows = [{**row, "result": "one"}, {**row, "result": "two"}]
    table = {"table": "1", "title": "T", "columns": ["clean"], "scale": 100, "rows": rows}
    table["command"] = "python -m it"
    shown = reproduce._section(table).splitlines()
    assert shown[-5:-3] == ["| A | **90.00** | (1) |", "| A | **80.00** | (2) |"]
    assert shown[-2].startswith("- Here (1): `benchmarks/results/one.json`")
