"""Writes the head of its column into each cell of a table, so that wide ones can stack on a phone.

`stylesheets/extra.css` does the rest: where a table has many columns, or three that hold sentences
or formulas, and the window is narrow, each row is a list of heads and values. A number and its unit
stay on one line.
"""

import re

from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor

# So many columns fit a phone side by side, if cells after the first are no longer than this.
_FEW, _LONGEST = 3, 24
# Heads up to this length leave more of a phone's width to the values.
_SHORT_HEAD = 13
_UNIT = re.compile(r"(?<=\d) (?=(?:%|[smh]|ms|MB|GB|minutes?)(?!\w))")


def on_config(config):
    """Called by mkdocs: adds the extension to those of `mkdocs.yml`."""
    config.markdown_extensions.append(_Tables())
    return config


class _Tables(Extension):
    def extendMarkdown(self, md):
        # Before formulas and code are put back, whose places are words until then.
        md.treeprocessors.register(_Label(md), "table-labels", 5)


class _Label(Treeprocessor):
    def run(self, root):
        for table in root.iter("table"):
            heads = ["".join(head.itertext()).strip() for head in table.iter("th")]
            table.set("data-columns", "many" if _stacks(table, heads) else "few")
            table.set("data-heads", "short" if max(map(len, heads)) <= _SHORT_HEAD else "long")
            for row in table.iterfind("tbody/tr"):
                for head, cell in zip(heads, row, strict=False):
                    cell.set("data-label", head)
                    _keep_units(cell)


def _stacks(table, heads):
    """Whether the columns do not fit a phone side by side."""
    cells = [cell for row in table.iterfind("tbody/tr") for cell in list(row)[1:]]
    longest = max((len("".join(cell.itertext())) for cell in cells), default=0)
    return len(heads) > _FEW or (len(heads) == _FEW and longest > _LONGEST)


def _keep_units(cell):
    """Puts a space that does not break between a number and its unit, in place."""
    for part in cell.iter():
        for place in ("text", "tail"):
            text = getattr(part, place)
            # What Markdown put aside is no str.
            if type(text) is str:
                setattr(part, place, _UNIT.sub("\N{NO-BREAK SPACE}", text))
