"""Shows what Keras-style docstrings add to Google's as plain sections in the reference.

Markdown would take the `>>>` of a doctest for a quotation, and griffe the section `Input shape:`
for a box to fold away: the first becomes a fenced block, the second a bold line over its text.
"""

import re
import textwrap

import griffe

_DOCTEST = re.compile(r"^( *)(>>> .*(?:\n(?!\s*$).*)*)", flags=re.MULTILINE)
_SECTION = re.compile(
    r"^(Input shape|Output shape|Lipschitz bound|References?):\n((?:    .*\n|\n)+)",
    flags=re.MULTILINE,
)


class PlainSections(griffe.Extension):
    """A griffe extension that rewrites every docstring it loads."""

    def on_object(self, *, obj, **kwargs):
        """Called by griffe once for each object."""
        if obj.docstring:
            obj.docstring.value = plain(obj.docstring.value)


def plain(docstring):
    """Fences the doctests of a docstring and unfolds the sections that only Keras knows."""
    docstring = _SECTION.sub(_unfold, docstring + "\n")
    return _DOCTEST.sub(r"\1```pycon\n\1\2\n\1```", docstring)


def _unfold(match):
    return f"**{match[1]}:**\n\n{textwrap.dedent(match[2])}\n"
