"""Writes the measured figures of docs/purifiers.md from the stored results.

python -m benchmarks.render.purifiers
"""

from benchmarks.common import DOCS, between_marks, markdown_table, read_result
from benchmarks.common.purified import robust, shown
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
            row["points"],
            shown(row["clean"]),
            *(shown(_left(name, row, attack).get(eps)) for eps in radii for attack in ATTACKS),
        ]
        for name, row in record["figures"].items()
    ]
    caption = (
        f"Test images of MNIST, l-infinity, seed {settings['seed']}, {settings['minutes']:g} "
        f"minutes for training a purifier, on one core (`{command_of(RESULT)}`, "
        f"{record['date']}). A dash was not measured."
    )
    return f"{markdown_table(['purifier', 'images', 'clean', *columns], rows)}\n\n{caption}"


def _left(name, row, attack):
    """What an attack leaves, where it followed the derivative that its column promises."""
    through = row.get(attack, {}).get("derivative of the purifier")
    promised = name == "none" or attack == "bpda" or through == "exact"
    return robust(row, attack) if promised else {}


if __name__ == "__main__":
    main()
