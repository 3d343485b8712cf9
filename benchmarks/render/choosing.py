"""Writes one line of figures for each method into docs/choosing.md.

    python -m benchmarks.render.choosing

What has no stored result has no figure; `docs/reproduction.md` says which command makes it.
"""

from benchmarks.common import (
    DOCS,
    between_marks,
    from_to,
    markdown_table,
    on_processors,
    percent,
    read_result,
)
from benchmarks.render import figures as read_in

PAGE = DOCS / "choosing.md"
_HEADER = [
    "method (network of the benchmark)",
    *("accuracy", "right under attack", "proven", "attacked points", "seeds", "minutes"),
]


def main():
    """Brings the page up to date."""
    PAGE.write_text(rendered())


def rendered():
    """Returns the text of the page with the table that the results give."""
    cells = []
    for method, name, read, row in _LINES:
        record = read_result(name)
        if record:
            cells.append([method, *read(record["figures"]), *_cost(record, row)])
    return between_marks(PAGE.read_text(), markdown_table(_HEADER, cells))


def _cost(record, row):
    """Points attacked, seeds, and minutes of a line; what its result does not say is empty."""
    figures, settings = record["figures"], record["settings"]
    if row:
        made = figures[row]["seeds"]
        minutes = [one["minutes"]["processor"] for one in made.values()]
        points = _points(settings, any("autoattack" in one for one in made.values()))
        spent = f"{from_to(minutes)} processor{on_processors(made.values())}, with attacks"
        return points, _seeds(made), spent
    if "runs" in figures:
        minutes = [one["processor_minutes"] for one in figures["runs"].values()]
        return "", len(minutes), f"{from_to(minutes)} processor"
    spent = f"{figures['minutes']:.0f} by the clock" if "minutes" in figures else ""
    return _points(settings), 1, spent


def _seeds(made):
    """How many seeds there are, and how many of them AutoAttack saw where those are fewer."""
    attacked = sum("autoattack" in one for one in made.values())
    return f"{len(made)}, AutoAttack {attacked}" if 0 < attacked < len(made) else len(made)


def _points(settings, autoattack=False):
    """How many test points were attacked, the number of each attack where they differ."""
    if autoattack:
        return f"{settings['points']:,} PGD, {settings['auto_points']:,} AutoAttack"
    if "square_points" in settings:
        return f"{settings['square_points']} Square, {settings['points']} gradient attacks"
    return f"{settings['points']:,}" if "points" in settings else ""


def _proven(read, norm, radius):
    def line(figures):
        found = read(figures)
        return percent(found.clean), "", f"{percent(found.proven[radius])} at {norm} {radius}"

    return line


def _adversarial(row):
    def line(figures):
        if row not in figures:
            return "", "", ""
        found = read_in.adversarial(figures, row)
        left = ", ".join(f"{percent(share)} {name}" for name, share in found.stands.items())
        return percent(found.clean), f"{left} at l-infinity 0.3", ""

    return line


def _ot_classifier(row):
    def line(figures):
        found = read_in.ot_classifier(figures, row)
        return percent(found.clean), f"{percent(found.stands['0.3'])} PGD at l-infinity 0.3", ""

    return line


def _otad(figures):
    found = read_in.otad(figures)
    left = [(kind, share) for (kind, eps), share in found.stands.items() if eps == "3.0"]
    # The strongest attack first.
    left = ", ".join(f"{percent(share)} {kind}" for kind, share in sorted(left, key=lambda x: x[1]))
    return percent(found.clean), f"{left} at l2 3", f"{percent(found.proven['0.05'])} at l2 0.05"


def _fgsm(figures):
    found = figures["FGSM-AT"]["mean"]
    left = percent(found["pgd"]["3"]["worst of these"])
    return percent(found["clean"]), f"{left} PGD at l2 3", ""


def _transport(method, row, long=False):
    """A line of the adversarial trainings of GOT's table 1."""
    return method, f"papers/got-1{'-long' if long else ''}", _adversarial(row), row


_LONG = "the same for 20 epochs instead of 8"
_OT = "papers/ot-classifier"
# What a line is called, its result, what to read in it, and its row where the result has seeds.
_LINES = (
    ("certified", "certified_mnist", _proven(read_in.certified_by_seed, "l2", "1.58"), None),
    ("hinge-KR", "hkr_mnist", _proven(read_in.certified_by_seed, "l2", "1.58"), None),
    ("linf-dist", "linf_mnist", _proven(read_in.certified, "l-infinity", "0.3"), None),
    _transport("PGD-AT: adversarial training alone", "PGD-AT"),
    _transport(_LONG, "PGD-AT", long=True),
    _transport("PGD-AT with AWP", "PGD-AT with AWP"),
    _transport("PGD-AT with LBGAT", "PGD-AT with LBGAT"),
    _transport("GOT (GOT-PGD-S)", "GOT-PGD-S"),
    _transport(_LONG, "GOT-PGD-S", long=True),
    _transport("GOT with label matching (GOT-PGD-LM)", "GOT-PGD-LM"),
    _transport("TRADES", "TRADES"),
    _transport("MART", "MART"),
    _transport("GOT on TRADES (GOT-TRADES-S)", "GOT-TRADES-S"),
    _transport("the same with label matching (GOT-TRADES-LM)", "GOT-TRADES-LM"),
    _transport("OTJR", "OTJR"),
    _transport(_LONG, "OTJR", long=True),
    ("OT-Classifier, attacked", _OT, _ot_classifier("OT-CLA+Adv"), "OT-CLA+Adv"),
    ("the same without its discriminator", _OT, _ot_classifier("Adv"), "Adv"),
    ("OT-Classifier, not attacked", _OT, _ot_classifier("OT-CLA"), "OT-CLA"),
    ("OTAD", "otad/mnist", _otad, None),
    ("FGSM-AT, beside OTAD", "papers/otad-2", _fgsm, None),
)

if __name__ == "__main__":
    main()
