"""Writes the measured figures of docs/purifiers.md from the stored results.

python -m benchmarks.render.purifiers
"""

from benchmarks.common import DOCS, between_marks, markdown_table, percent, read_result
from benchmarks.render.commands import command_of

PAGE = DOCS / "purifiers.md"
RESULT = "purifiers"
ATTACKS = {"bpda": "BPDA", "eot_pgd": "PGD", "auto_attack": "AutoAttack"}


def main():
    """Brings the page up to date."""
    PAGE.write_text(rendered())


def rendered():
    """Returns the text of the page with the table that the result gives."""
    record = read_result(RESULT)
    text = f"No result is stored yet: `{command_of(RESULT)}`." if record is None else _table(record)
    return between_marks(PAGE.read_text(), f"\n{text}\n")


def _table(record):
    settings = record["settings"]
    radii = [f"{eps:g}" for eps in settings["eps"]]
    columns = [f"{title}, {eps}" for eps in radii for title in ATTACKS.values()]
    rows = [
        [
            "no purifier" if name == "none" else f"`{name}`",
            percent(row["clean"]),
            *(percent(row[attack]["robust"][eps]) for eps in radii for attack in ATTACKS),
        ]
        for name, row in record["figures"].items()
    ]
    caption = (
        f"{settings['points']} test images of MNIST, l-infinity, seed {settings['seed']}, "
        f"{settings['minutes']:g} minutes of training of each purifier on one core "
        f"(`{command_of(RESULT)}`, {record['date']})."
    )
    return f"{markdown_table(['purifier', 'clean', *columns], rows)}\n\n{caption}"


if __name__ == "__main__":
    main()
