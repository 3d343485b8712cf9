"""What all benchmarks share: stored records, the parts of a page, batches, and certificates."""

from benchmarks.common.pages import DOCS, ROOT, between_marks, markdown_table, percent
from benchmarks.common.records import DEEL_LIP, RESULTS, environment, read_result, write_result

__all__ = [
    "DEEL_LIP",
    "DOCS",
    "RESULTS",
    "ROOT",
    "between_marks",
    "environment",
    "markdown_table",
    "percent",
    "read_result",
    "write_result",
]
