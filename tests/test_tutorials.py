"""The tutorials run as they stand, and the site shows what they print."""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
TUTORIALS = sorted((ROOT / "docs/tutorials").glob("*.py"))
NAVIGATION = (ROOT / "mkdocs.yml").read_text()


def _name(tutorial):
    return tutorial.stem


@pytest.fixture
def hook():
    for package in ("jupytext", "nbformat", "mkdocs"):
        pytest.importorskip(package, reason="The docs are not installed: make docs.")
    spec = importlib.util.spec_from_file_location("tutorials_hook", ROOT / "docs/tutorials_hook.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_tutorial_is_in_the_navigation():
    assert len(TUTORIALS) == 6
    listed = re.findall(r"tutorials/(\w+)\.md", NAVIGATION)
    assert sorted(listed) == [tutorial.stem for tutorial in TUTORIALS]


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=_name)
def test_it_starts_with_a_title_and_its_links_lead_somewhere(tutorial):
    text = tutorial.read_text()
    assert re.match(r"# %% \[markdown\]\n# # \S", text)
    compile(text, str(tutorial), "exec")
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    assert targets
    for target in targets:
        page = (tutorial.parent / target).resolve()
        made = page.with_suffix(".py") if page.parent == tutorial.parent else page
        assert made.exists(), f"{tutorial.name} links to {target}"


def test_a_page_shows_code_text_and_figures(hook):
    import jupytext
    from nbformat.v4 import new_output

    text = '# %% [markdown]\n# # Title\n#\n# Words.\n\n# %%\nprint("\\033[1mbold\\033[0m")\n'
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.cells[1]["outputs"] = [
        new_output("stream", name="stdout", text="\x1b[1mbold\x1b[0m\n"),
        new_output("stream", name="stderr", text="a warning"),
        new_output("display_data", {"image/png": "QUJD"}),
    ]
    files = hook.pages("some", notebook)
    assert set(files) == {"some.md", "some.ipynb", "some_1.png"}
    assert files["some_1.png"] == b"ABC"
    title, offer, words, code, printed, figure = files["some.md"].split("\n\n")
    assert (title, words) == ("# Title", "Words.") and "(some.ipynb)" in offer
    assert code.startswith("```python\nprint(")
    assert printed == "```text\nbold\n```"
    assert figure == "![Figure: Title](some_1.png)\n"
    assert '"nbformat": 4' in files["some.ipynb"]


@pytest.mark.slow
@pytest.mark.parametrize("tutorial", TUTORIALS, ids=_name)
def test_it_runs_without_data_of_its_own(tutorial, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    environment.pop("LIPOT_DATA_DIR", None)
    run = subprocess.run(
        [sys.executable, str(tutorial)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert len(run.stdout.splitlines()) > 5


@pytest.mark.slow
def test_a_tutorial_is_executed_in_a_kernel(hook, monkeypatch):
    import jupytext

    pytest.importorskip("nbclient", reason="The docs are not installed: make docs.")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = jupytext.read(ROOT / "docs/tutorials/own_layer.py")
    hook.run(notebook)
    page = hook.pages("own_layer", notebook)["own_layer.md"]
    assert "steepest seen" in page and "```text\n" in page
