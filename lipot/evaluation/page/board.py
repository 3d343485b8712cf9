"""The leaderboard at the head of a page of several models, a row for each."""

from typing import NamedTuple

from lipot.evaluation.page.prose import ball, headline_eps, percent, percents, standing

# What is known of a model besides its accuracies, in this order; other notes come after.
_FIRST = ("architecture", "parameters", "training")
# All models of a board were shown the same points.
_SHARED = ("data",)


class Cell(NamedTuple):
    """A cell: its text, a smaller second line, and what it is sorted by."""

    text: str
    more: str
    order: str


class Row(NamedTuple):
    """A model: its rank, its name, the id of its report on the page, and its cells."""

    rank: int
    name: str
    anchor: str
    cells: tuple


class Board(NamedTuple):
    """Models that were attacked alike, best first.

    Attributes:
        title: Norm and radius.
        columns: Names of the columns after rank and model.
        rows: `Row`s.
    """

    title: str
    columns: tuple
    rows: tuple


def boards(evaluations):
    """Ranks evaluations by robust accuracy at their middle radius, then by proven and clean.

    What is suspicious comes after all that is not: there the attacks were weak, and robust accuracy
    says little.

    Args:
        evaluations: `Evaluation`s, the number of each being that of its report on the page.

    Returns:
        A `Board` for each norm and radius: accuracies at different ones have no order.
    """
    groups = {}
    for index, evaluation in enumerate(evaluations):
        key = evaluation.norm, headline_eps(evaluation)
        groups.setdefault(key, []).append((f"m{index}", evaluation))
    return [_board(norm, eps, members) for (norm, eps), members in groups.items()]


def _board(norm, eps, members):
    ranked = sorted(members, key=lambda member: _order(member[1], eps), reverse=True)
    notes = dict.fromkeys(name for _, evaluation in members for name in evaluation.about)
    others = (n for n in notes if n not in (*_FIRST, *_SHARED))
    facts = [*(n for n in _FIRST if n in notes), *others]
    orders = [_order(evaluation, eps) for _, evaluation in ranked]
    rows = (
        Row(1 + orders.index(own), evaluation.name, anchor, _cells(evaluation, eps, facts))
        for own, (anchor, evaluation) in zip(orders, ranked)
    )
    columns = ("clean", "robust", "proven", "checks", *facts)
    return Board(ball(eps, norm), columns, tuple(rows))


def _order(evaluation, eps):
    """What a model is ranked by, the greatest first."""
    return standing(evaluation) != "suspicious", *_merit(evaluation, eps)


def _merit(evaluation, eps):
    proven = evaluation.certified_accuracy(eps)
    proven = -1.0 if proven is None else proven
    return evaluation.robust_accuracy(eps), proven, evaluation.clean_accuracy


def _cells(evaluation, eps, facts):
    robust, proven, clean = _merit(evaluation, eps)
    shares = (_share(evaluation, share) for share in (clean, robust, proven))
    facts = (_fact(evaluation.about.get(name, "")) for name in facts)
    return (*shares, _checks(evaluation.sanity), *facts)


def _checks(verdicts):
    """How many sanity checks were passed of those that ran."""
    ran = [verdict.passed for verdict in verdicts if verdict.passed is not None]
    if not ran:
        return Cell("none", "", "-1")
    return Cell(f"{sum(ran)} of {len(ran)}", "passed", f"{sum(ran) / len(ran):.3f}")


def _share(evaluation, share):
    return share_cell(evaluation, None if share < 0.0 else share)


def share_cell(evaluation, share):
    """The `Cell` of an accuracy: itself, and below it its interval."""
    if share is None:
        return Cell("–", "", "-1")
    return Cell(percent(share), percents(evaluation.interval(share)), f"{share:.6f}")


def _fact(text):
    return Cell(text or "–", "", text.replace(",", "") if text[:1].isdigit() else text)
