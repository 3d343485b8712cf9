"""Writes one line of figures for each method into docs/choosing.md.

    python -m benchmarks.render.choosing

What has no stored result has no figure; `docs/reproduction.md` says which command makes it.
"""

from benchmarks.common import DOCS, between_marks, markdown_table, percent, read_result

PAGE = DOCS / "choosing.md"
_HEADER = ["trained by", "accuracy", "stands attacks", "proven"]


def main():
    """Brings the page up to date."""
    PAGE.write_text(rendered())


def rendered():
    """Returns the text of the page with the table that the results give."""
    cells = []
    for method, name, read in _LINES:
        record = read_result(name)
        if record:
            cells.append([method, *read(record["figures"])])
    return between_marks(PAGE.read_text(), markdown_table(_HEADER, cells))


def _certified(figures):
    found = figures["summary"]
    return percent(found["clean"]["mean"]), "", f"{percent(found['1.58']['mean'])} at l2 1.58"


def _hkr(figures):
    return percent(figures["clean"]), "", f"{percent(figures['certified']['1.58'])} at l2 1.58"


def _linf(figures):
    proven = f"{percent(figures['certified']['0.3'])} at l-infinity 0.3"
    return percent(figures["clean"]), "", proven


def _adversarial(row):
    def read(figures):
        found = figures.get(row, {}).get("mean", {})
        names = {"pgd": "PGD", "autoattack": "AutoAttack"}
        stands = [f"{percent(found[key])} {name}" for key, name in names.items() if key in found]
        where = " at l-infinity 0.3" if stands else ""
        return percent(found["clean"]) if found else "", ", ".join(stands) + where, ""

    return read


def _ot_classifier(row):
    def read(figures):
        found = figures[row]["mean"]["accuracy"]
        return percent(found["0"]), f"{percent(found['0.3'])} PGD at l-infinity 0.3", ""

    return read


def _otad(figures):
    clean, attacked = figures["standard accuracy"], figures["gradient attacks, eps = 3.0"]
    return (
        percent(clean["accuracy"] / 100),
        f"{percent(attacked['worst of these'] / 100)} gradient attacks at l2 3",
        f"{percent(figures['certificate']['certified at 0.05'] / 100)} at l2 0.05",
    )


# What a line is called, its result, and what to read in it.
_LINES = (
    ("certified", "certified_mnist", _certified),
    ("hinge-KR", "hkr_mnist", _hkr),
    ("linf-dist", "linf_mnist", _linf),
    ("PGD-AT: adversarial training alone", "papers/got-1", _adversarial("PGD-AT")),
    ("GOT", "papers/got-1", _adversarial("GOT-PGD-S")),
    ("OTJR", "papers/got-1", _adversarial("OTJR")),
    ("OT-Classifier, attacked", "papers/ot-classifier", _ot_classifier("OT-CLA+Adv")),
    ("the same without its discriminator", "papers/ot-classifier", _ot_classifier("Adv")),
    ("OT-Classifier, not attacked", "papers/ot-classifier", _ot_classifier("OT-CLA")),
    ("OTAD", "otad/mnist", _otad),
)

if __name__ == "__main__":
    main()
