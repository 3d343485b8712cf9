"""The documentation tells the truth: its code runs, its links lead somewhere, all is there."""

import importlib
import inspect
import os
import pathlib
import re
import subprocess
import sys

import keras
import pytest

import lipot
from benchmarks.common import read_result
from benchmarks.render import readme
from lipot.evaluation import ATTACKS, SUITES
from lipot.evaluation.run import identity

ROOT = pathlib.Path(__file__).parents[1]
DOCS = sorted(ROOT.glob("docs/**/*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]
NAVIGATION = (ROOT / "mkdocs.yml").read_text()


# A block with the name of a test's file runs in a scratch copy, where the file before it exists.
BLOCK = r"""^```python(?! title="tests).*\n((?:.*\n)*?)```$"""


def _name(page):
    return str(page.relative_to(ROOT))


def python_blocks(text):
    """Yields the line number and the code of each fenced Python block that is no test's file."""
    for match in re.finditer(BLOCK, text, flags=re.MULTILINE):
        yield text[: match.start(1)].count("\n"), match.group(1)


def distinct(pages):
    """One page for each code: the home page shows that of the README."""
    code = {page: [block for _, block in python_blocks(page.read_text())] for page in pages}
    return list({"".join(blocks): page for page, blocks in code.items() if blocks}.values())


WITH_CODE = distinct(PAGES)


@pytest.mark.parametrize("page", WITH_CODE, ids=_name)
def test_code_runs(page, tmp_path, monkeypatch):
    """Runs the blocks of a page one after the other, as a reader would."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for line, code in python_blocks(page.read_text()):
        exec(compile("\n" * line + code, str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        file = page.parent / path if path else page
        # Pages of tutorials are made of their code.
        made = file.parent.name == "tutorials" and file.with_suffix(".py").exists()
        assert file.exists() or made, f"{_name(page)} links to {target}"
        if anchor and file.suffix == ".md":
            assert anchor in _anchors(file), f"{_name(page)} links to {target}"


def _anchors(page):
    titles = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r"[\w/-]+\.md", NAVIGATION))
    made = {f"tutorials/{file.stem}.md" for file in ROOT.glob("docs/tutorials/*.py")}
    assert listed == made | {str(page.relative_to(ROOT / "docs")) for page in DOCS}


def test_the_home_page_shows_the_code_of_the_readme():
    home, readme = ((ROOT / name).read_text() for name in ("docs/index.md", "README.md"))
    assert [code for _, code in python_blocks(home)] == [code for _, code in python_blocks(readme)]


# Names and units that need no words, and figures of tables.
PLAIN = """
    AMD APEGAN MB AT CE CPU CSV EPYC GB GPU HTML II III IV IX JAX JPEG JSON L2 MERFISH MIT MNIST
    MOSEK NN NP H200 PBMC README SHA SVG TRADESPGD UCI VI VII VIII XI XII XIII XIV CIFAR SVHN DML
"""


def test_every_abbreviation_is_in_the_glossary():
    glossary = (ROOT / "docs/glossary.md").read_text()
    known = set(re.findall(r"^\| ([\w-]+) \|", glossary, flags=re.MULTILINE))
    parts = {part for short in known for part in short.split("-")}
    for page in DOCS:
        prose = re.sub(r"```.*?```|`[^`]*`|\$.*?\$|\]\([^)]*\)", "", page.read_text(), flags=re.S)
        found = set(re.findall(r"\b[A-Z][A-Z0-9]+\b", prose))
        assert found - parts - set(PLAIN.split()) == set(), _name(page)


def test_every_layer_is_in_the_table_of_layers():
    table = (ROOT / "docs/layers.md").read_text()
    missing = [name for name in _public_layers() if f"`{name}`" not in table]
    assert missing == []


def _public_layers():
    for name, value in vars(lipot.layers).items():
        if inspect.isclass(value) and issubclass(value, keras.layers.Layer):
            yield name


def test_every_public_name_has_its_place_in_the_api_pages():
    pages = "\n".join(page.read_text() for page in ROOT.glob("docs/api/*.md"))
    documented = set(re.findall(r"^::: ([\w.]+)$", pages, flags=re.MULTILINE))
    for name in documented:
        _resolve(name)
    shown = {name.rpartition(".")[2] for name in documented}
    missing = [name for name in _public_names() if name.rpartition(".")[2] not in shown]
    assert missing == []


def _resolve(dotted):
    """Imports what a dotted name stands for: something of a module, or a module."""
    room, _, name = dotted.rpartition(".")
    module = importlib.import_module(room)
    return getattr(module, name) if hasattr(module, name) else importlib.import_module(dotted)


def _public_names():
    for room in ("layers", "losses", "metrics", "constraints", "initializers"):
        for name, value in vars(getattr(lipot, room)).items():
            if inspect.isclass(value) and value.__module__.startswith("lipot"):
                yield f"lipot.{room}.{name}"


def test_the_readme_shows_the_committed_results():
    shown = readme.README.read_text().splitlines()
    committed = readme.rendered().splitlines()
    stale = [line for line in shown if line not in committed]
    assert stale == [], "Run python -m benchmarks.render.readme"


def test_the_other_results_are_current():
    assert readme.MORE.read_text() == readme.rendered_more(), (
        "Run python -m benchmarks.render.readme"
    )


def test_what_the_prose_says_of_predict_is_stored():
    """docs/speed.md names the greatest ratio of each kind of network, over every stored table."""
    tables = [
        read_result(f"training_step{name}")["figures"] for name in ("", "_wide", "_large_batch")
    ]
    depths = read_result("overhead")["figures"]["depth"]
    ratios = {
        kind: max(
            figures["predict_cpu_ratio"]
            for table in tables
            for network in networks
            for layers, figures in table.get(network, {}).items()
            if layers != "plain"
        )
        for kind, networks in {
            "dense": ("mlp", "mlp1024", "mlp2048"),
            "CNN": ("cnn",),
            "ResNet-18": ("resnet",),
        }.items()
    }
    said = " ".join((ROOT / "docs/speed.md").read_text().split())
    assert f"up to {ratios['dense']:.2f} times as long as with stock layers" in said
    assert f"{ratios['CNN']:.2f} times for the small CNN, {ratios['ResNet-18']:.1f} times" in said
    assert f"{depths['12']['predict_cpu_ratio']:.2f} times for a dense network of twelve" in said


def test_the_stored_times_are_of_the_suite_as_it_is():
    """Where attacks have changed since, docs/evaluate.md names them after these words."""
    stored = read_result("evaluate_mnist")["settings"]["attacks"]
    _, _, after = (ROOT / "docs/evaluate.md").read_text().partition("When this was measured")
    named = set(re.findall(r"`(\w+)`", after.partition("<!-- results")[0]))
    current = {name: identity.recorded(ATTACKS[name].settings) for name in SUITES["standard"]}
    assert {name for name in current if current[name] != stored.get(name)} == named


def test_every_make_target_in_the_prose_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for page in PAGES:
        used = set(re.findall(r"\bmake ([a-z-]+)`", page.read_text()))
        assert used <= targets, _name(page)


def test_the_site_asks_for_nothing_from_elsewhere(tmp_path):
    assert not re.search(r"^ *- *https?://", NAVIGATION, flags=re.MULTILINE)
    for package in ("mkdocs", "material", "mathjax", "jupytext"):
        pytest.importorskip(package, reason="The docs are not installed: make docs.")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    settings = {"NO_MKDOCS_2_WARNING": "1", "LIPOT_TUTORIALS": "plain"}
    subprocess.run(build, cwd=ROOT, check=True, env={**os.environ, **settings})
    assert (tmp_path / "javascripts" / "tex-svg-full.js").stat().st_size > 1_000_000
    for page in tmp_path.glob("**/*.html"):
        text = page.read_text()
        assert re.findall(r'<(?:script|link|img)[^>]* (?:src|href)="https?://[^"]*"', text) == []
        # From disk a folder is a listing, not a page.
        links = re.findall(r'<a [^>]*href="([^"#?:]*)[^"]*"', text)
        assert [link for link in links if link.endswith("/") or link in (".", "..")] == []
