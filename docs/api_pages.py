"""Gives every public class and function a page of its own, and each room a list of them.

A page under `docs/api/` names objects by lines `::: lipot.layers.GroupSort2`. Here each of these
moves to `api/lipot.layers.GroupSort2.md`, and a link with the first sentence of its docstring
stands in its place.
"""

import inspect
import pathlib
import pkgutil
import re

from mkdocs.structure.files import File

_ENTRY = re.compile(r"^::: ([\w.]+)\n((?:    .*\n)*)", flags=re.MULTILINE)
# Between two items of a list.
_GAP = re.compile(r"^(- .*)\n\n+(?=- )", flags=re.MULTILINE)
_ROOMS = {}


def on_files(files, config):
    """Called by mkdocs: adds a page for each object that a room names."""
    for room in sorted(pathlib.Path(config.docs_dir, "api").glob("*.md")):
        text = room.read_text()
        title = re.search(r"^# (.*)$", text, flags=re.MULTILINE)[1]
        listed = _ENTRY.sub(_link, text + "\n")
        # Lists of one item each become one list.
        _ROOMS[f"api/{room.name}"] = _GAP.sub(r"\1\n", listed)
        for name, options in _ENTRY.findall(text + "\n"):
            page = _page(name, options, room.name, title)
            files.append(File.generated(config, f"api/{name}.md", content=page))
    return files


def on_page_markdown(markdown, page, config, files):
    """Called by mkdocs for each page: that of a room becomes a list."""
    return _ROOMS.get(page.file.src_uri, markdown)


def _link(entry):
    name = entry[1]
    return f"- [`{name.removeprefix('lipot.')}`]({name}.md): {_sentence(name)}\n"


def _sentence(name):
    """The first sentence of a docstring, on one line."""
    first = inspect.getdoc(pkgutil.resolve_name(name)) or ""
    return " ".join(first.partition("\n\n")[0].split())


def _page(name, options, room, title):
    short = name.rpartition(".")[2]
    settings = options.partition("\n")[2]
    body = f"::: {name}\n    options:\n      heading_level: 1\n{settings}"
    return f"---\ntitle: {short}\n---\n\n[{title}]({room})\n\n{body}"
