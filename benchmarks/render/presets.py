"""Writes the tables of docs/presets.md from the cards of the networks.

python -m benchmarks.render.presets
"""

from benchmarks.common import DOCS, between_marks, markdown_table, percent
from lipot import models

PAGE = DOCS / "presets.md"


def main():
    """Brings the page up to date."""
    PAGE.write_text(rendered())


def rendered():
    """Returns the text of the page with the tables that the cards give."""
    cards = {name: models.preset_card(name) for name in models.presets()}
    parts = [_figures(data, cards) for data in sorted({card["data"] for card in cards.values()})]
    commands = [(f"`{name}`", f"`{card['command']}`") for name, card in cards.items()]
    parts.append(markdown_table(("name", "trained by"), commands))
    body = "\n\n".join(parts)
    return between_marks(PAGE.read_text(), f"\n{body}\n")


def _figures(data, cards):
    chosen = {name: card for name, card in cards.items() if card["data"] == data}
    first = next(iter(chosen.values()))
    header = ["name", "parameters", "clean", *(f"proven at {eps}" for eps in first["certified"])]
    if "attacked" in first:
        header.append("attacked")
    rows = []
    for name, card in chosen.items():
        shares = [card["clean"], *card["certified"].values()]
        if "attacked" in card:
            shares.append(card["attacked"]["accuracy"])
        rows.append([f"`{name}`", f"{card['parameters']:,}", *map(percent, shares)])
    return markdown_table(header, rows)


if __name__ == "__main__":
    main()
