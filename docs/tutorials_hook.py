"""Makes a page and a notebook of each tutorial in `docs/tutorials`, jupytext's percent format.

Each is executed while the site is built, in a process and a folder of its own, and a cell that
fails ends the build. `LIPOT_TUTORIALS=plain` shows the code without its outputs, in seconds.
"""

import base64
import os
import pathlib
import re
import tempfile

import jupytext
import nbformat
from mkdocs.structure.files import File

_FOLDER = "tutorials"
# Outputs of a cell that takes longer than this have no place in a page.
_MOST_SECONDS = 600
_COLORS = re.compile(r"\x1b\[[0-9;]*m")


def on_files(files, config):
    """Called by mkdocs: adds the pages, figures and notebooks."""
    execute = os.environ.get("LIPOT_TUTORIALS") != "plain"
    for source in sorted(pathlib.Path(config.docs_dir, _FOLDER).glob("*.py")):
        notebook = jupytext.read(source)
        if execute:
            run(notebook)
        for name, content in pages(source.stem, notebook).items():
            files.append(File.generated(config, f"{_FOLDER}/{name}", content=content))
    return files


def run(notebook):
    """Executes a notebook in place."""
    from nbclient import NotebookClient

    # Figures are outputs of their cells, whatever draws them elsewhere.
    environment = {**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=_MOST_SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
        )
        client.execute(env=environment)


def pages(name, notebook):
    """The files of a tutorial: a page, its figures, and the notebook to download."""
    figures, parts, heading = {}, [], ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            heading = (re.findall(r"^#+ (.*)$", cell.source, re.MULTILINE) or [heading])[-1]
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for output in cell.get("outputs", ()):
            figure = output.get("data", {}).get("image/png")
            if figure is None:
                parts.append(_text(output))
                continue
            file = f"{name}_{len(figures) + 1}.png"
            figures[file] = base64.b64decode(figure)
            parts.append(f"![Figure: {heading}]({file})")
    title, _, rest = parts[0].partition("\n")
    offer = (
        f"This page is [a notebook]({name}.ipynb), run when the site was built. Jupyter opens it, "
        "and Colab by *File > Upload notebook*."
    )
    page = "\n\n".join(filter(None, [title, offer, rest.strip(), *parts[1:]]))
    return {f"{name}.md": page + "\n", f"{name}.ipynb": nbformat.writes(notebook), **figures}


def _text(output):
    """What a cell printed or returned, as a fenced block."""
    if output.get("name") == "stderr":
        return ""
    text = output.get("text") or output.get("data", {}).get("text/plain", "")
    text = _COLORS.sub("", text).rstrip()
    return f"```text\n{text}\n```" if text else ""
