"""`lipot certify`: what is proven of a saved model."""

import pathlib

from lipot_cli.options import (
    RADII,
    RADII_HELP,
    WORKERS_HELP,
    HelpFormatter,
    add_points,
    check_output,
    nonnegative_float,
    workers,
)


def add_to(commands):
    """Adds the command."""
    command = commands.add_parser(
        "certify",
        help="prove how far inputs can move without changing a prediction",
        description="Prints the proven accuracy: the share of the points that are classified "
        "rightly, and stay so whatever changes their inputs within a radius. It is computed from "
        "the weights; nothing is attacked.",
        formatter_class=HelpFormatter,
    )
    add_points(command, "scaled as the model was trained")
    add = command.add_argument
    radii = f"radii to state the proven accuracy at, such as 0.5 or 36/255; {RADII_HELP}"
    add("--eps", type=nonnegative_float, nargs="+", metavar="RADIUS", help=radii)
    add("--workers", type=workers, metavar="N", help=WORKERS_HELP)
    add("--out", metavar="FILE", help="a .csv file to write the radius of each point to")
    command.set_defaults(run=_run, how_to_go_on=_how_to_go_on)


def _how_to_go_on(options):
    return "Start it again; --limit proves fewer points, sooner."


def _run(options):
    check_output("--out", options.out, ".csv")
    from rich.console import Console

    from lipot import certify
    from lipot.certificates.input_scale import input_scale
    from lipot.math.proportions import in_words
    from lipot_cli.points import labels_hint, read_model, read_points

    points = read_points(options.data, options.limit)
    x = points.x.astype("float32")
    model = read_model(options.model, x)
    _check_scale(options, points.x.dtype, input_scale(model, x))
    certificate = certify(model, x, points.y, norm=options.norm, workers=options.workers)
    console = Console()
    accuracy = " ".join(in_words(certificate.correct.mean(), len(x)))
    console.print(f"Accuracy on {len(x)} points: {accuracy}", highlight=False)
    print_certificate(console, model, certificate, options.eps or RADII[certificate.norm])
    if hint := labels_hint(certificate.predictions, points.y):
        console.print(hint, highlight=False, soft_wrap=True)
    if options.out:
        pathlib.Path(options.out).parent.mkdir(parents=True, exist_ok=True)
        certificate.table().to_csv(options.out, index_label="point")
        console.print(f"Radii: {options.out}", highlight=False, soft_wrap=True)


def _check_scale(options, dtype, scale):
    """Raises where a model was trained on inputs of another scale, or may well have been."""
    expected = "Expected inputs in the range that the model was trained on"
    if scale is not None and not scale.fits:
        raise ValueError(
            f"The inputs in {options.data} do not fit the model's own preprocessing. {expected}. "
            f"Received: inputs that it brings to between {scale.low:.3g} and {scale.high:.3g}"
        )
    if scale is None and dtype.kind != "f":
        raise ValueError(
            f"The inputs in {options.data} are not scaled. {expected}, as floats. Received: {dtype}"
        )


def print_certificate(console, model, certificate, radii):
    """Prints what is proven of a model, as a table.

    Args:
        console: `rich.console.Console`.
        model: The Keras classifier.
        certificate: What `lipot.certify` found of it, with labels.
        radii: Radii to state the proven accuracy at, in the norm of the certificate.
    """
    import numpy as np
    from rich.table import Table

    from lipot.math.norms import norm_name, radius_name
    from lipot.math.proportions import in_words

    # Before anything is shown: a radius that is none raises here.
    shares = [(radius_name(r), certificate.accuracy(r)) for r in sorted(set(radii) - {0.0})]
    constant = _constant(model, certificate)
    if constant is not None:
        console.print(
            f"Lipschitz constant of all outputs together, proven: {constant:.6g}", highlight=False
        )
    if not np.any(certificate.radius > 0.0):
        console.print(
            "Nothing is proven: floating point alone could change each of the "
            f"{len(certificate)} predictions, as far as this proof can tell.",
            highlight=False,
            soft_wrap=True,
        )
        return
    console.print("Proven accuracy, which nothing within the radius can break:")
    table = Table()
    table.add_column(f"{norm_name(certificate.norm)} radius", justify="right")
    table.add_column("proven accuracy", justify="right")
    table.add_column("95 % interval", justify="right")
    # Not "0": what is proven at no radius at all may well be right.
    for radius, share in [("> 0", certificate.accuracy(0.0)), *shares]:
        table.add_row(radius, *in_words(share, len(certificate)))
    console.print(table)


def _constant(model, certificate):
    """The constant of the whole model in the norm of its certificate, where there is one."""
    import numpy as np

    from lipot import lipschitz_constant

    if not np.isfinite(certificate.lipschitz):
        return None
    try:
        return lipschitz_constant(model, norm=certificate.norm)
    except ValueError:
        # Of open sizes there is one for each size; radii in l-infinity may all come from l2.
        return None
