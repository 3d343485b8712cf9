"""Every table, by its name on the command line: its module under `benchmarks.papers`."""

import importlib

TABLES = {
    "got-1": "got_1",
    "got-4": "got_4",
    "got-5": "got_5",
}


def table_of(name):
    """Returns the `Table` of a name; modules of other tables are not imported."""
    return importlib.import_module(f"benchmarks.papers.{TABLES[name]}").TABLE
