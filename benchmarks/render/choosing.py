"""Writes one line of figures for each method into docs/choosing.md.

    python -m benchmarks.render.choosing

What has no stored result has no figure; `docs/reproduction.md` says which command makes it.
"""

from benchmarks.common import DOCS, between_marks, markdown_table, percent, read_result
from benchmarks.render import figures as read_in

PAGE = DOCS / "choosing.md"
_HEADER = ["trained by", "accuracy", "right under attack", "proven"]


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


# What a line is called, its result, and what to read in it.
_LINES = (
    ("certified", "certified_mnist", _proven(read_in.certified_by_seed, "l2", "1.58")),
    ("hinge-KR", "hkr_mnist", _proven(read_in.certified_by_seed, "l2", "1.58")),
    ("linf-dist", "linf_mnist", _proven(read_in.certified, "l-infinity", "0.3")),
    ("PGD-AT: adversarial training alone", "papers/got-1", _adversarial("PGD-AT")),
    ("the same for 20 epochs instead of 8", "papers/got-1-long", _adversarial("PGD-AT")),
    ("PGD-AT with AWP", "papers/got-1", _adversarial("PGD-AT with AWP")),
    ("PGD-AT with LBGAT", "papers/got-1", _adversarial("PGD-AT with LBGAT")),
    ("GOT", "papers/got-1", _adversarial("GOT-PGD-S")),
    ("the same for 20 epochs instead of 8", "papers/got-1-long", _adversarial("GOT-PGD-S")),
    ("OTJR", "papers/got-1", _adversarial("OTJR")),
    ("the same for 20 epochs instead of 8", "papers/got-1-long", _adversarial("OTJR")),
    ("OT-Classifier, attacked", "papers/ot-classifier", _ot_classifier("OT-CLA+Adv")),
    ("the same without its discriminator", "papers/ot-classifier", _ot_classifier("Adv")),
    ("OT-Classifier, not attacked", "papers/ot-classifier", _ot_classifier("OT-CLA")),
    ("OTAD", "otad/mnist", _otad),
)

if __name__ == "__main__":
    main()
