"""The runner of the papers' tables: rows in order, each part stored, and no work done twice."""

import json

import keras
import numpy as np
import pytest

import lipot
from benchmarks.common import papers, records
from benchmarks.papers import __main__ as command
from benchmarks.papers import hkr_networks, registry, runner
from benchmarks.papers.table import OutOfTime, Run, Table


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(runner, "RUNS", tmp_path / "runs")
    return tmp_path


@pytest.fixture
def made():
    return []


@pytest.fixture
def table(made):
    def training(name, run):
        made.append((name, run.seed, "training"))
        return {"clean": 0.9 + 0.05 * run.seed, "curve": {"0.1": 0.5 + 0.1 * run.seed}}

    def attack(name, run):
        made.append((name, run.seed, "attack"))
        return {"attacked": 0.5}

    return Table(
        title="A table",
        settings={"points": 100, "epochs": 1},
        rows={"first": (90.0,), "second": None},
        stages=(training, attack),
        shares={"clean": "points", "attacked": "points"},
        shortfall=lambda name, settings: f"{settings['epochs']} epochs for 100",
    )


def test_rows_are_made_in_order_of_need_and_stored(table, made):
    assert runner.run_table(table, "t", hours=1.0)
    parts = ("training", "attack")
    assert made == [(r, s, p) for s in (0, 1) for r in ("first", "second") for p in parts]
    record = records.read_result("papers/t")
    first = record["figures"]["first"]
    assert record["seed"] == [0, 1]
    assert first["mean"] == {
        "clean": pytest.approx(0.925),
        "curve": {"0.1": pytest.approx(0.55)},
        "attacked": 0.5,
    }
    assert first["short of the paper"] == "1 epochs for 100" and first["paper"] == [90.0]
    zero = first["seeds"]["0"]
    assert zero["settings"] == {"points": 100, "epochs": 1}
    assert zero["machine"]["cores"] and set(zero["minutes"]) == {"clock", "processor"}
    # Clopper and Pearson's interval of 90 in 100.
    assert zero["intervals"]["clean"] == pytest.approx([0.8238, 0.9510], abs=1e-4)
    # Over both seeds the widest: the low end of 90, the high end of 95 in 100.
    assert first["intervals"]["clean"] == pytest.approx([0.8238, 0.9836], abs=1e-4)


def test_what_only_some_seeds_are_short_of_is_said_with_them():
    seeds = {
        "0": {"short of the paper": "1 epoch; in bfloat16"},
        "1": {"short of the paper": "1 epoch"},
    }
    assert runner._short_of_the_paper(seeds) == "1 epoch; seed 0 in bfloat16"
    assert runner._short_of_the_paper({"1": seeds["1"]}) == "1 epoch"


def test_what_is_stored_is_not_made_again(table, made):
    runner.run_table(table, "t", hours=1.0, rows=["first"], seeds=[0])
    before = list(made)
    runner.run_table(table, "t", hours=1.0, rows=["second", "first"], seeds=[0])
    assert made[len(before) :] == [("second", 0, "training"), ("second", 0, "attack")]
    # The file keeps the order of the table.
    assert list(records.read_result("papers/t")["figures"]) == ["first", "second"]


def test_a_row_is_cut_off_when_the_time_is_up_and_goes_on(table, made):
    assert not runner.run_table(table, "t", hours=0.0)
    assert made == [] and records.read_result("papers/t") is None

    def slow(name, run):
        done = run.folder / "half"
        if not done.exists():
            done.touch()
            run._deadline = 0.0
            run.checkpoint()
        return {"clean": 0.5}

    slower = table._replace(stages=(slow,))
    assert not runner.run_table(slower, "t", hours=1.0, rows=["first"], seeds=[0])
    assert records.read_result("papers/t") is None
    assert runner.run_table(slower, "t", hours=1.0, rows=["first"], seeds=[0])
    assert records.read_result("papers/t")["figures"]["first"]["mean"] == {"clean": 0.5}


def test_stages_are_run_alone_and_the_rest_later(table, made):
    assert runner.run_table(table, "t", hours=1.0, seeds=[0], stages=["training"])
    assert made == [("first", 0, "training"), ("second", 0, "training")]
    assert runner.run_table(table, "t", hours=1.0, seeds=[0])
    assert made[2:] == [("first", 0, "attack"), ("second", 0, "attack")]


def test_two_processes_fill_one_table(table):
    def meanwhile(name, run):
        runner.run_table(table, "t", hours=1.0, rows=["second"], seeds=[0])
        return {"clean": 0.5}

    other = table._replace(stages=(meanwhile,))
    runner.run_table(other, "t", hours=1.0, rows=["first"], seeds=[0])
    assert list(records.read_result("papers/t")["figures"]) == ["first", "second"]


def test_rows_of_other_settings_are_not_mixed(table):
    runner.run_table(table, "t", hours=1.0, rows=["first"], seeds=[0])
    with pytest.raises(ValueError, match=r"with other epochs \(epochs there: 1; here: 2\)"):
        runner.run_table(table, "t", hours=1.0, settings={"epochs": 2})


def test_minutes_are_those_of_all_runs(folders):
    run = Run({}, 0, folders, deadline=float("inf"))
    run.checkpoint()
    (folders / "minutes.json").write_text(json.dumps({"clock": 7.0, "processor": 5.0}))
    again = Run({}, 0, folders, deadline=0.0)
    with pytest.raises(OutOfTime):
        again.checkpoint()
    assert 7.0 <= again.stopwatch.minutes["clock"] < 7.1


def test_the_command_takes_the_settings_of_the_table(table, made, monkeypatch, capsys):
    monkeypatch.setattr(command, "table_of", lambda name: table)
    asked = ["--table", "got-1", "--name", "t", "--seeds", "0", "--rows", "second"]
    assert command.main([*asked, "--points", "10", "--hours", "1"]) == 0
    assert records.read_result("papers/t")["settings"] == {"points": 10, "epochs": 1}
    assert command.main([*asked, "--points", "10", "--hours", "0"]) == 0, "nothing is left to do"
    with pytest.raises(SystemExit):
        command.main(["--table", "got-1", "--rows", "third"])
    assert "no rows ['third']" in capsys.readouterr().err


@pytest.mark.parametrize("name", registry.TABLES)
def test_every_table_names_its_rows_and_how_short_they_fall(name):
    table = registry.table_of(name)
    assert table.rows and table.stages
    assert set(table.shares.values()) <= set(table.settings)
    for row in table.rows:
        assert len(table.shortfall(row, table.settings)) > 20
    assert len({stage.__name__ for stage in table.stages}) == len(table.stages)


def test_the_page_reads_tables_and_rows_that_exist():
    for paper in papers():
        for shown in paper["tables"]:
            for row in shown["rows"]:
                # A row may have a result of its own.
                result = row.get("result", shown.get("result", ""))
                if "here" in row and result.startswith("papers/"):
                    # Longer trainings are rows of the same table.
                    name = result.removeprefix("papers/").removesuffix("-long")
                    table = registry.table_of(name)
                    assert row["here"][0][0] in table.rows


def test_the_centre_of_a_function_lies_between_the_means_of_the_classes():
    """Equation 2 of hKR by hand: means 1 and 8, so 4.5 is taken off."""
    line = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    x, y = np.array([[0.0], [2.0], [8.0]], "float32"), np.array([0, 0, 1])
    problem = hkr_networks.Problem(x, y, x, y, 2, ())
    shifted = hkr_networks.centred(line, problem)
    np.testing.assert_allclose(shifted.predict(x, verbose=0)[:, 0], [-4.5, -2.5, 3.5])


@pytest.mark.parametrize("name", hkr_networks.METHODS)
def test_the_compared_networks_share_their_shape_and_are_what_they_say(name):
    method = hkr_networks.METHODS[name]
    network = hkr_networks.network(method, (8, 8, 1), 3)
    free = hkr_networks.network(hkr_networks.METHODS["Adv"], (8, 8, 1), 3)
    shapes = [layer.output.shape for layer in network.layers]
    assert shapes == [layer.output.shape for layer in free.layers]
    assert not network.compiled
    if method.weights != "free":
        assert lipot.lipschitz_constant(network) <= 1.0001
    assert np.isfinite(
        float(method.loss(3)(np.eye(3, dtype="float32"), np.ones((3, 3), "float32")))
    )


def test_a_margin_is_that_of_the_paper():
    """Equation 5 has 1 - y f: at f = 0.5 half a unit is missing, 50 times."""
    loss = hkr_networks.METHODS["hKR 50, m 1"].loss(2)
    found = float(loss(np.array([[1.0], [0.0]]), np.array([[0.5], [-0.5]])))
    assert found == pytest.approx(-1.0 + 50.0 * 0.5)
