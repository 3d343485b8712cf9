"""Makes a table of a paper row by row, for as long as it may; run again, it goes on.

python -m benchmarks.papers --table got-1 --hours 3

Rows are made in order of need, all of one seed before the next. Each part of a row, a training or
an attack, is stored in `benchmarks/results/papers/` when it is done, and a training that is cut
off goes on from its last part of an epoch. `python -m benchmarks.reproduce` renders the page.
"""

import argparse
import sys

from benchmarks.papers.registry import TABLES, table_of
from benchmarks.papers.runner import run_table


def main(arguments=None):
    """Runs the command and returns its exit status."""
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--table", choices=list(TABLES))
    known, _ = first.parse_known_args(arguments)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", choices=list(TABLES), required=True)
    parser.add_argument("--hours", type=float, default=3.0, help="time to spend")
    parser.add_argument("--rows", nargs="+", help="rows to make, by default all")
    parser.add_argument("--seeds", nargs="+", type=int, help="by default those of the table")
    parser.add_argument("--name", help="of the result, by default the table's")
    table = table_of(known.table) if known.table else None
    stages = [stage.__name__ for stage in table.stages] if table else None
    parser.add_argument(
        "--stages", nargs="+", choices=stages, help="parts of a row, by default all"
    )
    for setting, default in table.settings.items() if table else ():
        option = f"--{setting.replace('_', '-')}"
        many = {"nargs": "+"} if isinstance(default, tuple) else {}
        kind = type(default[0] if many else default)
        parser.add_argument(option, type=kind, default=default, **many, help="of the table")
    options = vars(parser.parse_args(arguments))
    unknown = [row for row in options["rows"] or () if row not in table.rows]
    if unknown:
        parser.error(f"no rows {unknown} in {options['table']}: it has {list(table.rows)}")
    whole = run_table(
        table,
        options["name"] or options["table"],
        hours=options["hours"],
        settings={key: options[key] for key in table.settings},
        rows=options["rows"],
        seeds=options["seeds"],
        stages=options["stages"],
    )
    return 0 if whole else 3


if __name__ == "__main__":
    sys.exit(main())
