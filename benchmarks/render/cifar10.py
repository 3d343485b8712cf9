"""Writes the measured figures of docs/cifar10.md from the stored results.

python -m benchmarks.render.cifar10
"""

from benchmarks.common import (
    DOCS,
    RESULTS,
    between_marks,
    cores,
    markdown_table,
    percent,
    read_result,
)
from benchmarks.render.commands import command_of

PAGE = DOCS / "cifar10.md"
COMPARISON = "certified_cifar10"
TIMED = {
    "pyramid_cifar10": "A pyramid of orthogonal convolutions",
    "pyramid_cifar10_recipe": "The same with the recipe's rate",
    "lipnext_cifar10": "LipNeXt",
}
SAME = "lipot, the same layers"
COLUMNS = (
    "network",
    "weights",
    "epochs",
    "processor minutes",
    "clean",
    *(f"proven at {radius}" for radius in ("36/255", "72/255", "108/255")),
    "claimed at 36/255",
    "largest norm of a layer",
    "proven constant before the last layer",
)


def main():
    """Brings the page up to date."""
    PAGE.write_text(rendered())


def rendered():
    """Returns the text of the page with the tables that the results give."""
    return between_marks(
        PAGE.read_text(),
        f"\n{_full()}\n\n{_on_a_gpu()}\n\n{_comparison(read_result(COMPARISON))}\n",
    )


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
    return "\n\n".join(lines) or "The full recipe was not run yet."


def _on_a_gpu():
    """The networks that were trained for minutes on a large GPU."""
    return "\n\n".join(_timed(name, title) for name, title in TIMED.items())


def _timed(name, title):
    command, record = command_of(name), read_result(name)
    if record is None:
        return f"{title} on a GPU has no stored result yet: `{command}`."
    found, settings = record["figures"], record["settings"]
    training = found["training"]
    return (
        f"{title}, {training['epochs']} epochs in {training['minutes']:.1f} minutes on "
        f"{settings['trained_on']}, one seed: "
        f"{percent(found['clean'])} clean, {percent(found['certified']['36/255'])} proven at "
        f"36/255, on {settings['points']:,} test images (`{command}`, {record['date']})."
    )


def _comparison(record):
    if record is None:
        return f"The comparison has no stored result yet: `{command_of(COMPARISON)}`."
    settings, seeds = record["settings"], record["seed"]
    rows = [_row(name, list(runs.values())) for name, runs in record["figures"].items()]
    caption = (
        f"{settings['minutes']:g} minutes of training each by the clock, on "
        f"{cores(record)}, {settings['images']} training and "
        f"{settings['points']} test images, "
        f"{'seed' if len(seeds) == 1 else 'mean of seeds'} {', '.join(map(str, seeds))}, "
        f"{record['date']}. {settings['note']}"
    )
    if SAME not in record["figures"]:
        caption += " The row of lipot's layers of the same names was not run."
    return f"{markdown_table(COLUMNS, rows)}\n\n{caption.strip()}"


def _row(name, runs):
    def mean(read):
        return sum(map(read, runs)) / len(runs)

    return (
        name,
        f"{runs[0]['weights']:,}",
        f"{mean(lambda run: run['epochs']):.1f}",
        f"{mean(lambda run: run['processor_minutes']):.0f}",
        percent(mean(lambda run: run["clean"])),
        *(
            percent(mean(lambda run, radius=radius: run["certified"][radius]))
            for radius in ("36/255", "72/255", "108/255")
        ),
        percent(mean(lambda run: run["claimed"]["36/255"])),
        f"{max(max(run['norms_of_layers']) for run in runs):.4f}",
        f"{max(run['lipschitz_constant_before_head'] for run in runs):.4f}",
    )


if __name__ == "__main__":
    main()
