"""What AutoAttack tells its progress bar: the attack, how many points stand, the work left."""


class Progress:
    """Counts the model calls of an evaluation and foretells the rest.

    Args:
        calls: Dict from the name of each attack, in their order, to the calls of the model it
            makes for a point that stands to its end.
        bar: `lipot.progress.Bar`, or `Silence`.
    """

    def __init__(self, calls, bar):
        self._calls = calls
        self._bar = bar
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
            self._bar.advance(before["points"] * (share - before["share"]) * cost)
            before.update(points=points, share=share)
            ahead = self._later(name) + cost * (runs - index - share)
            later = sum(self._calls.values()) * self._waiting
            self._bar.plan(f"{title}, {points} points stand", [ahead * points, later])

        return report

    def _later(self, name):
        names = list(self._calls)
        return sum(self._calls[other] for other in names[names.index(name) + 1 :])
