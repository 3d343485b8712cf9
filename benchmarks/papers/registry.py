"""Every table, by its name on the command line: a module of this package, and a name in it."""

import importlib

TABLES = {
    "got-1": ("got_1", "TABLE"),
    "got-4": ("got_4", "TABLE"),
    "got-5": ("got_5", "TABLE"),
    "ot-classifier": ("ot_classifier", "TABLE"),
    "hkr": ("hkr", "TABLE"),
    "otad-1": ("otad", "TABLE_1"),
    "otad-2": ("otad", "TABLE_2"),
    "otad-3": ("otad", "TABLE_3"),
}


def table_of(name):
    """Returns the `Table` of a name; modules of other tables are not imported."""
    module, attribute = TABLES[name]
    return getattr(importlib.import_module(f"benchmarks.papers.{module}"), attribute)
