"""Measures how the house is built, from its source alone: no module of it is imported.

    python -m benchmarks.measure.structure --out structure_after [--root PATH]

`PATH` is a checkout, of this commit or of an older one. What is counted:

- Classes between: the classes of lipot that a public kernel layer inherits from, itself left out.
- Files from kernel to certificate: the files that hold a definition on the way from
  `SpectralConv2D` to `certify`. The walk starts at both and at the bounds registered for that class
  or one it inherits from. It goes on to every definition of lipot that a class or function on the
  way names, a class as a whole, within the rooms `layers`, `math` and `checks` and that of the
  certificates. It does not open another public layer, and of the backend only the door.
- Lines of `layers/` and the room of the certificates, blank lines included.
- Repeats: pairs of places in `lipot/` with at least six equal lines one after the other. Blank
  lines, comments, imports and indentation do not count; with and without docstrings.
- Of the evaluation and of the benchmarks: rooms (folders with code), files, lines, the files of the
  fullest room, repeats within, and circles: sets of modules that import each other, an import
  inside a function counted too.
- Places to touch for each kind of addition: read off by hand, see `PLACES`.
"""

import argparse
import ast
import collections
import pathlib
import subprocess
from typing import Any, NamedTuple

from benchmarks.common import write_result

LAYERS = (
    "SpectralDense",
    "SpectralConv2D",
    "SpectralConv2DTranspose",
    "FrobeniusDense",
    "FrobeniusConv2D",
    "OrthogonalConv1D",
    "OrthogonalConv2D",
    "OrthogonalConv2DTranspose",
    "SkewOrthogonalConv2D",
    "SDPResidualDense",
    "SDPResidualConv2D",
)
REPEATED_LINES = 6

# Places that an addition changes or makes, its own tests and its page left out. Nobody counts
# these from the source: change them with the layout.
PLACES = {
    "before": {
        "constrained layer": (
            "layers/NAME.py",
            "layers/__init__.py",
            "certify/linear.py or certify/blocks.py, its bound a second time",
            "certify/bounds.py, where it computes by a method that is not listed in _COMPUTING",
            "tests/interop/test_plain.py, LAYERS",
        ),
        "paired loss": (
            "losses/NAME.py",
            "losses/__init__.py",
            "tests/losses/test_paired_losses.py, EVERY_LOSS",
        ),
        "attack of the suite": ("evaluation/suite.py, ATTACKS", "evaluation/suite.py, SUITES"),
        "view": (
            "evaluation/views/NAME.py",
            "evaluation/views/__init__.py, its import",
            "evaluation/views/__init__.py, _MAKERS",
        ),
        "data set": ("datasets.py, its loader", "datasets.py, the names"),
    },
}
PLACES["after"] = {
    **PLACES["before"],
    "constrained layer": ("layers/NAME.py", "layers/__init__.py"),
    "paired loss": ("losses/NAME.py", "losses/__init__.py"),
}
PLACES["rooms"] = {
    **PLACES["after"],
    "attack of the suite": ("evaluation/attacks/NAME.py", "evaluation/attacks/suite.py, _FILES"),
    "view": ("evaluation/page/views/NAME.py", "evaluation/page/views/__init__.py, _FILES"),
}


class Definition(NamedTuple):
    """A class, function or assignment at the top of a module."""

    module: str
    name: str
    node: Any


class House:
    """The definitions of a checkout, and which of them another one names."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        files = sorted(self.root.glob("lipot/**/*.py"))
        self.files = {_module(file.relative_to(self.root)): file for file in files}
        self.trees = {name: ast.parse(file.read_text()) for name, file in self.files.items()}
        self.definitions = {name: _definitions(name, tree) for name, tree in self.trees.items()}
        # What each name of a module that was imported stands for, in dots.
        self.imports = {name: _imports(tree) for name, tree in self.trees.items()}

    @property
    def certificates(self):
        """Name of the room of the certificates, which changed."""
        return "certificates" if "lipot.certificates" in self.files else "certify"

    def find(self, dotted):
        """The definition behind a dotted name, through what a package passes on, or `None`."""
        module, _, name = dotted.rpartition(".")
        if name in self.definitions.get(module, {}):
            return self.definitions[module][name]
        passed_on = self.imports.get(module, {}).get(name)
        return self.find(passed_on) if passed_on and passed_on != dotted else None

    def named_in(self, definition):
        """Definitions of lipot that a definition names."""
        for dotted in _dotted_names(definition.node):
            head, _, rest = dotted.partition(".")
            known = self.imports[definition.module].get(head, f"{definition.module}.{head}")
            # In `module.function` the name is of two parts, and the first may be a class.
            parts = rest.split(".") if rest else []
            candidates = [".".join([known, *parts[:n]]) for n in range(len(parts), -1, -1)]
            found = next(filter(None, map(self.find, candidates)), None)
            if found is not None:
                yield found

    def ancestors(self, layer):
        """Classes of lipot that a class inherits from."""
        found, waiting = {}, [layer]
        while waiting:
            current = waiting.pop()
            bases = ast.Tuple(current.node.bases, ast.Load())
            for base in self.named_in(current._replace(node=bases)):
                if found.setdefault((base.module, base.name), base) is base:
                    waiting.append(base)
        return list(found.values())

    def on_the_way(self, layer):
        """Definitions that the walk from a layer to its certificate meets."""
        own = [layer, *self.ancestors(layer)]
        public = set(map(self.find, (f"lipot.layers.{n}" for n in self.imports["lipot.layers"])))
        found, rooms = {}, ("layers", "math", "backend", "checks", self.certificates)
        waiting = [layer, self.find(f"lipot.{self.certificates}.certify")]
        waiting += [function for known in own for function in self.registered_for(known)]
        while waiting:
            current = waiting.pop()
            another = current in public and current not in own
            if another or _room(current.module) not in rooms or current[:2] in found:
                continue
            found[current[:2]] = current
            if _room(current.module) != "backend":
                waiting += self.named_in(current)
        return list(found.values())

    def registered_for(self, layer):
        """Functions that state the bound of a class, in the room of the certificates."""
        for module, definitions in self.definitions.items():
            if _room(module) != self.certificates:
                continue
            for definition in definitions.values():
                decorators = getattr(definition.node, "decorator_list", [])
                names = definition._replace(node=ast.Tuple(decorators, ast.Load()))
                if decorators and layer in self.all_named_in(names):
                    yield definition

    def all_named_in(self, definition):
        """`named_in`, with constants of the module read, as in `register_bound(*_DENSE)`."""
        named = list(self.named_in(definition))
        constants = [d for d in named if isinstance(d.node, ast.Assign)]
        return named + [inner for d in constants for inner in self.named_in(d)]


def _module(path):
    parts = list(path.with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _room(module):
    return module.split(".")[1] if "." in module else ""


def _definitions(module, tree):
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = Definition(module, node.name, node)
        elif isinstance(node, ast.Assign):
            parts = [part for target in node.targets for part in ast.walk(target)]
            names = [part.id for part in parts if isinstance(part, ast.Name)]
            found |= {name: Definition(module, name, node) for name in names}
    return found


def _imports(tree):
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("lipot"):
            found.update({a.asname or a.name: f"{node.module}.{a.name}" for a in node.names})
        elif isinstance(node, ast.Import):
            found.update({a.name: a.name for a in node.names if a.name == "lipot"})
    return found


def _dotted_names(node):
    """Yields every name in some code, with the attributes that follow it."""
    for inner in ast.walk(node):
        parts, at = [], inner
        while isinstance(at, ast.Attribute):
            parts.append(at.attr)
            at = at.value
        if isinstance(at, ast.Name):
            yield ".".join([at.id, *reversed(parts)])


def lines_of_code(file, docstrings):
    """Pairs `(number, text)` of the lines that a repeat can consist of."""
    source = file.read_text()
    tree, lines, skipped = ast.parse(source), source.splitlines(), set()
    for node in ast.walk(tree):
        left_out = isinstance(node, ast.Import | ast.ImportFrom)
        if not docstrings and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            left_out = isinstance(node.value.value, str)
        if left_out:
            skipped.update(range(node.lineno, node.end_lineno + 1))
    stripped = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    return [(n, s) for n, s in stripped if s and n not in skipped and not s.startswith("#")]


def repeats(root, docstrings, below="lipot"):
    """Pairs of places with at least `REPEATED_LINES` equal lines: each run counts once."""
    places, at = [], collections.defaultdict(list)
    for file in sorted(pathlib.Path(root).glob(f"{below}/**/*.py")):
        lines = lines_of_code(file, docstrings)
        for first in range(len(lines) - REPEATED_LINES + 1):
            window = tuple(text for _, text in lines[first : first + REPEATED_LINES])
            at[window].append(len(places))
            places.append((str(file.relative_to(root)), first, lines[first][0]))
    pairs = {(a, b) for same in at.values() for a in same for b in same if a < b}
    starts = []
    for a, b in sorted(pairs):
        (file_a, line_a, shown_a), (file_b, line_b, shown_b) = places[a], places[b]
        overlap = file_a == file_b and line_b - line_a < REPEATED_LINES
        goes_on = line_a and line_b and (a - 1, b - 1) in pairs
        if not overlap and not goes_on:
            starts.append(f"{file_a}:{shown_a} {file_b}:{shown_b}")
    return starts


def lines_of(root, room):
    files = sorted(pathlib.Path(root).glob(f"lipot/{room}/**/*.py"))
    return {"files": len(files), "lines": sum(len(f.read_text().splitlines()) for f in files)}


def rooms_of(root, below):
    """How a folder is divided, and what in it stands twice or goes in circles."""
    files = sorted(pathlib.Path(root).glob(f"{below}/**/*.py"))
    rooms = collections.Counter(str(file.parent.relative_to(root)) for file in files)
    repeated = repeats(root, docstrings=False, below=below)
    turning = circles(imports_between(root, files))
    return {
        "rooms": len(rooms),
        "files": len(files),
        "lines": sum(len(file.read_text().splitlines()) for file in files),
        "files_of_the_fullest_room": max(rooms.values()),
        "pairs_of_repeats_in_code": len(repeated),
        "circles_of_imports": len(turning),
        "which_rooms": dict(sorted(rooms.items())),
        "which_repeats_in_code": repeated,
        "which_circles": turning,
    }


def imports_between(root, files):
    """The modules of some files, each with those of the others that it imports anywhere."""
    trees = {_module(f.relative_to(root)): ast.parse(f.read_text()) for f in files}
    found = {name: set() for name in trees}
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                dotted = [f"{node.module}.{alias.name}" for alias in node.names]
                # What is no module itself is defined in the one it comes from.
                found[name] |= {d if d in trees else node.module for d in dotted} & set(trees)
            elif isinstance(node, ast.Import):
                found[name] |= {alias.name for alias in node.names} & set(trees)
    return found


def circles(graph):
    """Sets of modules from each of which an import leads to every other one."""

    def reached(start):
        seen, waiting = set(), list(graph[start])
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += graph[name]
        return seen

    reach = {name: reached(name) for name in graph}
    sets = {
        tuple(sorted(other for other in reach[name] if name in reach[other]))
        for name in graph
        if name in reach[name]
    }
    return sorted(map(list, sets))


def measure(root):
    """Everything this file counts, as a dict of JSON values."""
    house = House(root)
    public = {name: house.find(f"lipot.layers.{name}") for name in LAYERS}
    between = {
        name: sorted(c.name for c in house.ancestors(layer))
        for name, layer in public.items()
        if layer is not None
    }
    way = house.on_the_way(public["SpectralConv2D"])
    files = sorted({str(house.files[d.module].relative_to(house.root)) for d in way})
    code, prose = (repeats(root, docstrings) for docstrings in (False, True))
    rooms = {room: lines_of(root, room) for room in ("layers", house.certificates)}
    places = PLACES[_stage(house.root)]
    return {
        "classes_between": {name: len(classes) for name, classes in between.items()},
        "most_classes_between": max(map(len, between.values())),
        "files_from_kernel_to_certificate": len(files),
        "lines_of_layers_and_certificates": sum(room["lines"] for room in rooms.values()),
        "pairs_of_repeats_in_code": len(code),
        "pairs_of_repeats_with_docstrings": len(prose),
        "places_to_touch": {kind: len(where) for kind, where in places.items()},
        "rooms": rooms,
        "evaluation": rooms_of(root, "lipot/evaluation"),
        "benchmarks": rooms_of(root, "benchmarks"),
        "which_classes": between,
        "which_files": files,
        "which_repeats_in_code": code,
        "which_places": {kind: list(where) for kind, where in places.items()},
    }


def _stage(root):
    if (root / "lipot/evaluation/attacks").exists():
        return "rooms"
    return "after" if (root / "lipot/layers/parametrizations.py").exists() else "before"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", default=pathlib.Path(__file__).parents[2], type=pathlib.Path)
    parser.add_argument("--out", required=True, help="name of the result file")
    arguments = parser.parse_args()
    figures = measure(arguments.root)
    for name, value in figures.items():
        if not name.startswith("which"):
            print(f"{name}: {value}")
    commit = subprocess.run(
        ["git", "-C", str(arguments.root), "rev-parse", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    print(write_result(arguments.out, figures, seed=None, settings={"commit": commit or None}))


if __name__ == "__main__":
    main()
