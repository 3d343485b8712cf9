"""The one display of how far something is, and how long it will take."""

import datetime
import time


class Bar:
    """A progress bar over all the work that is left, on the standard error stream.

    Work is counted in any unit, such as model evaluations by the rough cost of each attack, and
    what is left of it may shrink as points break. The time left is that of the work left at the
    pace so far. To be used as a context manager.

    Args:
        name: What is being done.
    """

    def __init__(self, name):
        # Training attacks import this file, and shall not need what the evaluation does.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._bar = Progress(
            TextColumn("{task.description:28}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=Console(stderr=True),
        )
        self._name = name
        self._done = self._worked = self._ahead = 0.0
        self._by_worker = {}

    def __enter__(self):
        self._bar.start()
        self._task = self._bar.add_task(self._name, total=None, left="")
        self._started = time.monotonic()
        return self

    def __exit__(self, *error):
        self._bar.stop()

    def plan(self, step, work_left):
        """Says what comes next, and lists the work of that and all later steps."""
        self._ahead = float(sum(work_left))
        self._show(description=f"{self._name}: {step}")

    def advance(self, work, worker=None, points=0):
        """Says that some work was done, and by which worker on how many points."""
        self._worked += work
        if worker is not None:
            self._by_worker[worker] = self._by_worker.get(worker, 0) + points
        self.skip(work)

    def skip(self, work):
        """Says that some work had been done before."""
        self._done += work
        self._ahead = max(self._ahead - work, 0.0)
        self._show()

    def _show(self, **changed):
        left, passed = "", time.monotonic() - self._started
        if self._worked and self._ahead:
            seconds = passed / self._worked * self._ahead
            left = f"about {datetime.timedelta(seconds=round(seconds))} left"
        if self._by_worker:
            paces = (f"{n / passed:.3g}" for _, n in sorted(self._by_worker.items()))
            left = f"{left}; points per second by worker: {', '.join(paces)}".lstrip("; ")
        total = max(self._done + self._ahead, 1.0)
        self._bar.update(self._task, completed=self._done, total=total, left=left, **changed)


class Silence:
    """Shows nothing."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def plan(self, step, work_left):
        """Does nothing."""

    def advance(self, work, worker=None, points=0):
        """Does nothing."""

    def skip(self, work):
        """Does nothing."""
