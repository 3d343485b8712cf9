"""What all benchmarks share: records, papers, the parts of a page, batches, and certificates."""

from benchmarks.common.pages import (
    DOCS,
    ROOT,
    between_marks,
    cores,
    from_to,
    markdown_table,
    on_processors,
    percent,
)
from benchmarks.common.papers import paper_row, papers
from benchmarks.common.records import (
    DEEL_LIP,
    NEAR,
    RESULTS,
    environment,
    read_result,
    write_result,
)

__all__ = [
    "DEEL_LIP",
    "DOCS",
    "NEAR",
    "RESULTS",
    "ROOT",
    "between_marks",
    "environment",
    "from_to",
    "markdown_table",
    "on_processors",
    "paper_row",
    "papers",
    "percent",
    "read_result",
    "write_result",
]
