"""`lipot certify`: what is proven of a saved model."""

import argparse

import numpy as np
from rich.console import Console
from rich.table import Table

from lipot import datasets
from lipot.certificates import certify, lipschitz_constant
from lipot.cli.options import positive_int
from lipot.cli.points import DATA_HELP, read_model, read_points

RADII = (0.25, 0.5, 1.0, 1.5)


def add_to(commands):
    """Adds the command."""
    command = commands.add_parser(
        "certify",
        help="prove how far inputs can move without changing a prediction",
        description="Prints the accuracy that no change of the inputs within an l2 radius can "
        "break. It is computed from the weights; nothing is attacked.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument("model", help="a .keras file")
    command.add_argument(
        "data", help=f"scaled as the model was trained: {DATA_HELP}{', '.join(datasets.names())}"
    )
    command.add_argument("--eps", type=float, nargs="+", default=list(RADII), help="l2 radii")
    command.add_argument("--limit", type=positive_int, help="only the first so many points")
    command.set_defaults(run=_run)


def _run(options):
    points = read_points(options.data, options.limit)
    if not np.issubdtype(points.x.dtype, np.floating):
        raise ValueError(
            f"The inputs in {options.data} are not scaled. Expected floats, in the range the model "
            f"was trained on. Received: {points.x.dtype}"
        )
    x = points.x.astype("float32")
    print_certificate(Console(), read_model(options.model, x), x, points.y, options.eps)


def print_certificate(console, model, x, y, radii):
    """Proves what can be proven of a model, and prints it as a table.

    Args:
        console: `rich.console.Console`.
        model: Keras classifier.
        x: Inputs.
        y: Labels.
        radii: l2 radii to state the proven accuracy at.

    Raises:
        ValueError: Nothing can be proven of the model; the message says why.
    """
    certificate = certify(model, x, y)
    if np.isfinite(certificate.lipschitz):
        constant = lipschitz_constant(model)
        console.print(f"Lipschitz constant, proven: {constant:.6g}", highlight=False)
    console.print(f"Accuracy on {len(x)} points that nothing within the radius can break:")
    table = Table()
    table.add_column("l2 radius", justify="right")
    table.add_column("accuracy", justify="right")
    for radius in [0.0, *sorted(set(radii) - {0.0})]:
        table.add_row(f"{radius:g}", f"{100 * certificate.accuracy(radius):.2f} %")
    console.print(table)
