"""Explains on every page the abbreviations of `glossary.md`, where the pointer rests on one."""

import functools
import pathlib
import re

_ROW = re.compile(r"^\| ([\w-]+) \| (.+) \|$", flags=re.MULTILINE)


def on_page_markdown(markdown, page, config, files):
    """Called by mkdocs for each page."""
    if page.file.src_uri == "glossary.md":
        return markdown
    return f"{markdown}\n\n{_definitions(config.docs_dir)}\n"


@functools.cache
def _definitions(folder):
    """The abbreviations in the syntax of the extension `abbr`."""
    rows = _ROW.findall(pathlib.Path(folder, "glossary.md").read_text())
    return "\n".join(f"*[{short}]: {long}" for short, long in rows if short != "short")
