"""The progress bar knows what is done and what is left of work that shrinks."""

from lipot.progress import Bar, Silence


def test_work_left_shrinks_and_work_done_before_counts():
    with Bar("net") as bar:
        (task,) = bar._bar.tasks
        bar.plan("pgd", [3.0, 1.0])
        assert (task.description, task.completed, task.total) == ("net: pgd", 0.0, 4.0)
        bar.advance(1.0)
        assert (task.completed, task.total) == (1.0, 4.0) and "left" in task.fields["left"]
        bar.skip(1.0)
        assert (task.completed, task.total) == (2.0, 4.0)
        # Of the two units that were left, one is no work any more.
        bar.plan("fgsm", [1.0])
        assert (task.completed, task.total) == (2.0, 3.0)
        bar.plan("attacked", [])
        assert (task.completed, task.total) == (2.0, 2.0)


def test_each_worker_has_its_pace():
    with Bar("net") as bar:
        bar.plan("pgd", [4.0])
        bar.advance(1.0, worker=0, points=10)
        bar.advance(1.0, worker=1, points=20)
        (task,) = bar._bar.tasks
        assert task.fields["left"].partition("by worker: ")[2].count(",") == 1


def test_silence_takes_all_that_a_bar_takes_and_shows_nothing(capsys):
    def public(kind):
        return {name for name in vars(kind) if not name.startswith("_")}

    assert public(Silence) == public(Bar)
    with Silence() as bar:
        bar.plan("pgd", [1.0])
        bar.advance(1.0)
        bar.skip(1.0)
    assert capsys.readouterr() == ("", "")


def test_the_bar_leaves_the_standard_output_alone(capsys):
    with Bar("net") as bar:
        bar.plan("pgd", [1.0])
    shown = capsys.readouterr()
    assert shown.out == "" and "net: pgd" in shown.err
