"""`lipot report`: from stored evaluations to a page or a table."""

from lipot_cli.options import HelpFormatter, check_input, check_output


def add_to(commands):
    """Adds the command."""
    command = commands.add_parser(
        "report",
        help="make a page or a table of stored evaluations",
        description="Reads what `lipot evaluate --json` stored, of one model or of several, and "
        "puts it on one page.",
        formatter_class=HelpFormatter,
    )
    add = command.add_argument
    add("reports", nargs="+", metavar="FILE", help="a .json file; several are put side by side")
    add("--out", default="report.html", metavar="FILE", help="the page")
    add(
        "--table",
        choices=["terminal", "markdown", "latex"],
        default="terminal",
        help="how to print the accuracies",
    )
    command.set_defaults(run=_run)


def _run(options):
    check_output("--out", options.out, ".html")
    for file in options.reports:
        check_input(file, "a report that `lipot evaluate --json` stored")
    from lipot.evaluation import RobustnessReport, compare

    reports = [RobustnessReport.from_json(file) for file in options.reports]
    report = compare(reports)
    print(report.table(options.table))
    print(f"Page: {report.save_html(options.out)}")
