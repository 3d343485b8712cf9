"""One line that says which attack runs, how many points stand, and the time left at most."""

import sys
import time

# Seconds between two lines.
_PAUSE = 0.5


class Progress:
    """Counts the model calls of an evaluation and foretells the rest.

    Args:
        calls: Dict from the name of each attack, in their order, to the calls of the model it
            makes for a point that stands to its end.
        verbose: Whether to write to the standard error stream.
    """

    def __init__(self, calls, verbose):
        self._calls = calls
        self._verbose = verbose
        self._start = time.perf_counter()
        self._next_line = self._start
        self._made = 0.0
        self._waiting = 0

    def begin(self, waiting):
        """Says how many points wait until those at hand are done."""
        self._waiting = waiting

    def run(self, name, index, runs, points):
        """Returns the callable `(points left, share done)` of one run of an attack.

        Args:
            name: Name of the attack.
            index: Index of the run, one a target.
            runs: Number of runs of the attack.
            points: Points that stand as the run begins.
        """
        cost = self._calls[name] / runs
        title = f"{name} {index + 1}/{runs}" if runs > 1 else name
        before = {"points": points, "share": 0.0}

        def report(points, share):
            self._made += before["points"] * (share - before["share"]) * cost
            before.update(points=points, share=share)
            ahead = self._later(name) + cost * (runs - index - share)
            self._write(title, points, ahead * points + sum(self._calls.values()) * self._waiting)

        return report

    def end(self):
        """Ends the line."""
        if self._verbose:
            sys.stderr.write("\n")

    def _later(self, name):
        names = list(self._calls)
        return sum(self._calls[other] for other in names[names.index(name) + 1 :])

    def _write(self, title, points, calls):
        now = time.perf_counter()
        if not self._verbose or not self._made or now < self._next_line:
            return
        self._next_line = now + _PAUSE
        gone = now - self._start
        left = gone * calls / self._made
        line = f"{title}: {points} points stand, {gone:.0f} s gone, at most {left:.0f} s left"
        sys.stderr.write(f"\r{line:<78}")
        sys.stderr.flush()
