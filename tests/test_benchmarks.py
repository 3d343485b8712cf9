"""The commands under `benchmarks/` that pages, results and docstrings name, and their rooms."""

import pathlib
import re

import pytest

from benchmarks.measure.structure import imports_between
from benchmarks.render import by_method, measured
from benchmarks.render.commands import COMMANDS, command_of

ROOT = pathlib.Path(__file__).parents[1]
PYTHON = sorted(file for room in ("benchmarks", "lipot") for file in ROOT.glob(f"{room}/**/*.py"))
PROSE = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/**/*.py")]
STORED = [*ROOT.glob("benchmarks/**/*.json"), *ROOT.glob("lipot/**/*.json")]
# A line that ends in a backslash goes on; a name that goes on with a brace is put in later.
COMMAND = re.compile(r"python -m (benchmarks[.\w]*\w)(?![.\w]*\{)((?:[^`\"\n\\]|\\\n)*)")
# A module in dots, or a file or folder that is kept.
NAMED = re.compile(r"`(benchmarks(?!/results/)[./][\w./]*\w)/?[` ]")


def commands(text):
    """Module and options of each command that a text names."""
    return [(module, re.findall(r"--[\w-]+", rest)) for module, rest in COMMAND.findall(text)]


def source(module):
    """What `python -m module` runs, with its siblings where it is a package, or `None`."""
    path = ROOT / module.replace(".", "/")
    if (path / "__main__.py").is_file():
        return "\n".join(file.read_text() for file in sorted(path.glob("*.py")))
    file = path.with_suffix(".py")
    return file.read_text() if file.is_file() else None


def faults(text):
    """What of the commands in a text cannot be run."""
    found = []
    for module, options in commands(text):
        code = source(module)
        if code is None or '__name__ == "__main__"' not in code:
            found.append(module)
            continue
        # Tables of papers name their options by the settings they have.
        asked = {option: option[2:].replace("-", "_") for option in options}
        found += [
            f"{module} {option}"
            for option, setting in asked.items()
            if f'"{option}"' not in code and not re.search(rf"\b{setting}\b", code)
        ]
    return found


@pytest.mark.parametrize("files", [PYTHON, PROSE, STORED], ids=["Python", "prose", "stored"])
def test_every_command_that_is_named_can_be_run(files):
    wrong = {str(f.relative_to(ROOT)): faults(f.read_text()) for f in files}
    assert {file: found for file, found in wrong.items() if found} == {}
    assert any(commands(file.read_text()) for file in files)


def test_every_command_that_a_page_puts_together_can_be_run():
    assert faults("\n".join(map(command_of, COMMANDS))) == []
    shown = {name for _, name, _ in by_method.METHODS}
    shown |= {name for parts in measured.PAGES.values() for _, name, _ in parts}
    assert shown <= set(COMMANDS)


def test_the_name_of_a_result_says_how_it_was_trained():
    command = command_of("transport/cifar10/random_JR_wrn-34-10_100_0")
    options = "--method 'random JR' --network wrn-34-10"
    assert command == f"python -m benchmarks.transport.cifar10 {options}"


def test_a_command_that_cannot_be_run_is_seen():
    text = (
        "`python -m benchmarks.gone` python -m benchmarks.measure.structure --out a \\\n  --lost b"
    )
    assert faults(text) == ["benchmarks.gone", "benchmarks.measure.structure --lost"]
    assert faults("`python -m benchmarks.common`, `python -m benchmarks.{name}`") == [
        "benchmarks.common"
    ]


def is_there(name):
    """Whether a module, file or folder stands where a text says."""
    path = ROOT / (name if "/" in name else name.replace(".", "/"))
    return path.exists() or ("/" not in name and path.with_suffix(".py").is_file())


def test_every_place_in_the_benchmarks_that_is_named_exists():
    named = {(f, name) for f in [*PROSE, *PYTHON] for name in NAMED.findall(f.read_text())}
    assert {(str(f.relative_to(ROOT)), name) for f, name in named if not is_there(name)} == set()
    assert len(named) > 10
    assert not is_there("benchmarks.gone") and not is_there("benchmarks/common/records")


def test_rooms_import_one_way():
    """Renderers know nothing of measurements, and what is shared knows neither."""
    files = sorted(ROOT.glob("benchmarks/**/*.py"))
    below = {"benchmarks.common": ("common",), "benchmarks.render": ("common", "render")}
    wrong = [
        (name, other)
        for name, imported in imports_between(ROOT, files).items()
        for room, allowed in below.items()
        if name.startswith(f"{room}.") and name != "benchmarks.render.__main__"
        for other in imported
        if other.split(".")[1] not in allowed
    ]
    assert wrong == []
