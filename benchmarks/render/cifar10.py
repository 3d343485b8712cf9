"""Writes the measured figures of docs/cifar10.md from the stored results.

python -m benchmarks.render.cifar10
"""

from benchmarks.common import DOCS, RESULTS, between_marks, markdown_table, percent, read_result

PAGE = DOCS / "cifar10.md"
REDUCED = "cifar10_reduced"
COLUMNS = (
    "network",
    "weights",
    "epochs",
    "clean",
    *(f"proven at {radius}" for radius in ("36/255", "72/255")),
    "claimed at 36/255",
    "largest norm of a layer",
    "proven constant before the last layer",
)


def main():
    """Brings the page up to date."""
    PAGE.write_text(rendered())


def rendered():
    """Returns the text of the page with the tables that the results give."""
    return between_marks(PAGE.read_text(), f"\n{_full()}\n\n{_reduced(read_result(REDUCED))}\n")


def _full():
    """A line for each full training that was stored."""
    lines = []
    for file in sorted(RESULTS.glob("cifar10/*.json")):
        record = read_result(f"cifar10/{file.stem}")
        found, epochs = record["figures"], record["settings"]["epochs"]
        lines.append(
            f"`{file.stem}`, {epochs} epochs: {percent(found['clean'])} clean, "
            f"{percent(found['certified']['36/255'])} certified at 36/255."
        )
    return "\n\n".join(lines) or "The full recipe was not run yet: it needs a GPU."


def _reduced(record):
    if record is None:
        command = "python -m benchmarks.measure.training.cifar10_reduced"
        return f"The reduced run has no stored result yet: `{command}`."
    settings = record["settings"]
    table = markdown_table(COLUMNS, [_row(*found) for found in record["figures"].items()])
    caption = (
        f"{settings['minutes']:g} minutes of training each on {record['environment']['cores']} "
        f"cores, {settings['images']} training and {settings['points']} test images, temperature "
        f"{settings['tau']:g}, seed {record['seed']}, {record['date']}. {settings['note']}"
    )
    return f"{table}\n\n{caption.strip()}"


def _row(name, found):
    return (
        name,
        f"{found['weights']:,}",
        f"{found['epochs']:.1f}",
        percent(found["clean"]),
        *(percent(found["certified"][radius]) for radius in ("36/255", "72/255")),
        percent(found["claimed"]["36/255"]),
        f"{max(found['norms_of_layers']):.4f}",
        f"{found['lipschitz_constant_before_head']:.4f}",
    )


if __name__ == "__main__":
    main()
