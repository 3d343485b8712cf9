"""Shows the doctests of docstrings as code in the reference.

Markdown would take `>>>` for a quotation; each block of a doctest becomes a fenced one instead.
"""

import re

import griffe

_BLOCK = re.compile(r"^( *)(>>> .*(?:\n(?!\s*$).*)*)", flags=re.MULTILINE)


class FenceDoctests(griffe.Extension):
    """A griffe extension that fences doctests in every docstring it loads."""

    def on_object(self, *, obj, **kwargs):
        """Called by griffe once for each object."""
        if obj.docstring:
            obj.docstring.value = fence(obj.docstring.value)


def fence(docstring):
    """Puts each block that starts with `>>>` and ends at an empty line into a fence."""
    return _BLOCK.sub(r"\1```pycon\n\1\2\n\1```", docstring)
