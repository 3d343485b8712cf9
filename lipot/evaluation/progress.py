"""Shows how far an evaluation is, and how long it will take."""

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Bar:
    """A progress bar over all the work that is left, which shrinks as points break.

    Work is counted in model evaluations, by the rough cost of each attack. To be used as a
    context manager.

    Args:
        name: What is being done.
    """

    def __init__(self, name):
        self._bar = Progress(
            TextColumn("{task.description:28}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            # The attacks differ in pace: the speed is an average over many of them.
            speed_estimate_period=120.0,
        )
        self._name = name
        self._done = 0.0

    def __enter__(self):
        self._bar.start()
        self._task = self._bar.add_task(self._name, total=None)
        return self

    def __exit__(self, *error):
        self._bar.stop()

    def plan(self, step, work_left):
        """Says what comes next, and lists the work of that and all later steps."""
        self._bar.update(
            self._task,
            description=f"{self._name}: {step}",
            total=self._done + max(sum(work_left), 1.0),
            completed=self._done,
        )

    def advance(self, work):
        """Says that some work is done."""
        self._done += work
        self._bar.update(self._task, completed=self._done)


class Silence:
    """Shows nothing."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def plan(self, step, work_left):
        """Does nothing."""

    def advance(self, work):
        """Does nothing."""
