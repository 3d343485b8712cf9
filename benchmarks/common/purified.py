"""How the rows of purifiers are read, by their benchmark and by the page that shows them."""

from benchmarks.common.pages import percent


def shown(share):
    """A share as a page shows it; a dash for what was not measured."""
    return "–" if share is None else percent(share)


def robust(row, attack):
    """Accuracies of a row under an attack by radius; none where it has not run."""
    return row.get(attack, {}).get("robust", {})
