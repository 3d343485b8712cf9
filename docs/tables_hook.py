"""Writes the head of its column into each cell of a table, so that wide ones can stack on a phone.

`stylesheets/extra.css` does the rest: where a table has many columns and the window is narrow, each
row is a list of heads and values.
"""

from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor

# So many columns fit a phone side by side.
_FEW = 3


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
            table.set("data-columns", "many" if len(heads) > _FEW else "few")
            for row in table.iterfind("tbody/tr"):
                for head, cell in zip(heads, row, strict=False):
                    cell.set("data-label", head)
