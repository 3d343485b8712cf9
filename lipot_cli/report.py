"""`lipot report`: from stored evaluations to a page or a table."""

from lipot_cli.options import HelpFormatter, check_input, check_output


def add_to(commands):
    """Adds the command."""
    command = commands.add_parser(
        "report",
        help="make a page and a table of stored evaluations",
        description="Reads what `lipot evaluate --json` stored, of one model or of several, "
        "prints the accuracies as a table and writes one page of them all.",
        formatter_class=HelpFormatter,
    )
    add = command.add_argument
    add("reports", nargs="+", metavar="FILE", help="what `lipot evaluate --json FILE` stored")
    add("--out", default="report.html", metavar="FILE", help="where to write the page")
    add(
        "--table",
        choices=["terminal", "markdown", "latex"],
        default="terminal",
        help="format in which the accuracies are printed",
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
