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
            f"{row['training minutes']:.0f} min",
            shown(row["clean"]),
            *(_left(name, row, attack, eps) for eps in radii for attack in ATTACKS),
        ]
        for name, row in record["figures"].items()
    ]
    table = markdown_table(["purifier", "images", "trained", "clean", *columns], rows)
    caption = (
        f"Test images of MNIST, l-infinity, seed {settings['seed']}, on one core "
        f"(`{command_of(RESULT)}`, {record['date']})."
    )
    if "–" in table:
        caption += " A dash was not measured."
    return f"{table}\n\n{caption}"


def _left(name, row, attack, eps):
    """What an attack leaves, and where it took another derivative than its column says, which."""
    left = shown(robust(row, attack).get(eps))
    through = row.get(attack, {}).get("derivative of the purifier", "exact")
    if name == "none" or attack == "bpda" or through == "exact":
        return left
    # Without the true derivative PGD is BPDA, whose column stands beside it.
    return "–" if attack == "eot_pgd" else f"{left} (BPDA)"


if __name__ == "__main__":
    main()
