"""`lipot demo`: everything at once, on data that come with scikit-learn."""

from lipot_cli.options import HelpFormatter, check_folder


def add_to(commands):
    """Adds the command."""
    command = commands.add_parser(
        "demo",
        help="train, certify and attack two small networks, in a minute or two",
        description="Trains a stock network and its 1-Lipschitz twin on the digits of "
        "scikit-learn, proves the accuracy of the second, attacks both, draws the outcome and "
        "writes it as a page to open in a browser.",
        formatter_class=HelpFormatter,
    )
    add = command.add_argument
    add(
        "--out",
        default="demo-report",
        metavar="FOLDER",
        help="where to write the page and its figures",
    )
    command.set_defaults(run=_run)


def _run(options):
    check_folder("--out", options.out)
    from lipot import demo

    demo.run(options.out)
