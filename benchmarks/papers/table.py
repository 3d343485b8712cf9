"""What a table of a paper is to the runner, and what a row may use while it is made."""

import json
import pathlib
import time
from collections.abc import Callable
from typing import NamedTuple


class Table(NamedTuple):
    """One table.

    Attributes:
        title: What it shows and where it stands.
        settings: Dict of every setting of a row and its default; each is an option of the command.
        rows: Dict of the rows in order of need: a name, and what its paper reports or `None`.
        stages: Functions from `(name, run)` to a dict of figures, each stored when done.
        shares: Names of figures that are shares of `(setting, ...)` points, to say how sure they
            are: a dict from the figure to the setting that counts its points.
        shortfall: Function from a name and the settings to how far the budget is from the paper's.
        seeds: Seeds of the rows; all rows of one before the next.
    """

    title: str
    settings: dict
    rows: dict
    stages: tuple
    shares: dict
    shortfall: Callable
    seeds: tuple = (0, 1)


class OutOfTime(Exception):
    """The time of the whole run is up; what was done is kept."""


class Stopwatch:
    """Minutes of clock and processor spent in a folder, by this process and those before it.

    Args:
        folder: Where the count is kept.

    Example:

    >>> import tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> Stopwatch(folder).save()
    >>> sorted(Stopwatch(folder).minutes)
    ['clock', 'processor']
    """

    def __init__(self, folder):
        self._file = pathlib.Path(folder) / "minutes.json"
        known = self._file.exists()
        self.minutes = (
            json.loads(self._file.read_text()) if known else {"clock": 0.0, "processor": 0.0}
        )
        self._last = self._now()

    def save(self):
        """Adds what was spent since the last time, and writes it down."""
        now = self._now()
        for name, value in now.items():
            self.minutes[name] += (value - self._last[name]) / 60.0
        self._last = now
        draft = self._file.with_suffix(".part")
        draft.write_text(json.dumps(self.minutes))
        draft.replace(self._file)

    def _now(self):
        # The processor time of all threads: what the row costs on a machine that is shared.
        return {"clock": time.monotonic(), "processor": time.process_time()}


class Run:
    """What a stage may use: settings, seed, a folder of its own, and the time that is left.

    Args:
        settings: Dict of settings.
        seed: Seed of the row.
        folder: Folder of the row, made if it is missing.
        deadline: `time.monotonic()` at which the run ends.
    """

    def __init__(self, settings, seed, folder, deadline):
        self.settings = settings
        self.seed = seed
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.stopwatch = Stopwatch(self.folder)
        self._deadline = deadline

    def checkpoint(self):
        """To call after each piece of work that is kept.

        Raises:
            OutOfTime: If the time is up.
        """
        self.stopwatch.save()
        if time.monotonic() >= self._deadline:
            raise OutOfTime
