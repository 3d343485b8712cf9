"""Puts MathJax among the files of the site, so that formulas show without a network."""

import importlib.util
import pathlib

from mkdocs.structure.files import File

# The component that needs no other file: it draws its glyphs itself.
_COMPONENT = "tex-svg-full.js"
# Where `mkdocs.yml` asks for it.
_ADDRESS = f"javascripts/{_COMPONENT}"


def on_files(files, config):
    """Adds the component out of django-static-mathjax, which is MathJax in a wheel."""
    (package,) = importlib.util.find_spec("mathjax").submodule_search_locations
    component = pathlib.Path(package) / "static" / "mathjax" / "es5" / _COMPONENT
    files.append(File.generated(config, _ADDRESS, abs_src_path=str(component)))
    return files
