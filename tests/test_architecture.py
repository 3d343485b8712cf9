"""The rules of the house, checked on the source itself."""

import ast
import importlib
import inspect
import pathlib
import pkgutil

import keras

import lipot
from benchmarks.measure.structure import circles, imports_between

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = sorted([*ROOT.glob("lipot/**/*.py"), *ROOT.glob("lipot_cli/**/*.py")])
EVERY_FILE = [
    file
    for room in ("lipot", "lipot_cli", "tests", "examples", "benchmarks")
    for file in ROOT.glob(f"{room}/**/*.py")
]

# A room may import those of its own line and of the lines above, never from below.
ORDER = (
    ("backend", "checks", "batches", "axes", "extras", "files", "notices", "progress", "workers"),
    ("math",),
    ("layers", "initializers", "constraints", "regularizers"),
    ("losses", "optimizers"),
    ("attacks",),
    ("models",),
    ("purifiers",),
    ("certificates",),
    ("metrics",),
    ("callbacks",),
    ("interop",),
    ("evaluation",),
    ("datasets",),
    ("recipes",),
    ("demo",),
    ("cli",),
)
RANK = {room: rank for rank, line in enumerate(ORDER) for room in line}
FRAMEWORKS = {"tensorflow", "tf_keras", "jax", "jaxlib", "torch"}
PICKLERS = {"pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}


def _relative(file):
    return str(file.relative_to(ROOT))


def _imports(file):
    return imported_names(file.read_text(), file.relative_to(ROOT).parts[:-1])


def imported_names(source, package):
    """Yields the full dotted name of everything some code imports, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base = [*base, *([node.module] if node.module else [])]
            yield from (".".join([*base, alias.name]) for alias in node.names)


def _room(dotted):
    parts = dotted.split(".")
    if parts[0] == "lipot_cli":
        return "cli"
    return parts[1] if parts[0] == "lipot" and len(parts) > 1 else None


def _public_objects():
    """Yields every class and function that a user reaches by a public name."""
    rooms = [lipot] + [
        importlib.import_module(f"lipot.{module.name}")
        for module in pkgutil.iter_modules(lipot.__path__)
        if not module.name.startswith("_")
    ]
    found = {}
    for room in rooms:
        for name, value in vars(room).items():
            ours = getattr(value, "__module__", "").startswith("lipot")
            if ours and not name.startswith("_") and callable(value):
                found[f"{room.__name__}.{name}"] = value
    return found


def test_imports_go_one_way():
    wrong = []
    for file in SOURCES:
        here = _room(".".join(file.relative_to(ROOT).with_suffix("").parts))
        if here == "__init__":
            continue
        assert here in RANK, f"Give the new room `{here}` a place in ORDER."
        rooms = {_room(name) for name in _imports(file)} & set(RANK)
        wrong += [(_relative(file), room) for room in rooms if RANK[room] > RANK[here]]
    assert wrong == []


def test_no_module_imports_one_that_imports_it():
    assert circles(imports_between(ROOT, SOURCES)) == []


def test_every_circle_is_seen():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"e"}}) == [
        *(["a", "b", "c"], ["e"])
    ]


def test_only_the_backend_imports_a_framework():
    wrong = [
        (_relative(file), name)
        for file in EVERY_FILE
        if file.parent != ROOT / "lipot" / "backend" and file.parent.name != "tests"
        for name in _imports(file)
        if name.partition(".")[0] in FRAMEWORKS
    ]
    assert wrong == []


def test_images_are_padded_by_one_function():
    # Keras's own computes another padding on PyTorch than the one that it is asked for.
    wrong = [
        (_relative(file), node.lineno)
        for file in SOURCES
        if file != ROOT / "lipot" / "math" / "padding.py"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "ops.pad"
        if "mode" in {keyword.arg for keyword in node.keywords} or len(node.args) > 2
    ]
    assert wrong == []


def test_nothing_is_pickled():
    for file in EVERY_FILE:
        used = {name.partition(".")[0] for name in _imports(file)}
        assert not PICKLERS & used, _relative(file)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert ast.unparse(node.value) == "False", _relative(file)


def test_files_stay_short():
    lengths = {_relative(file): len(file.read_text().splitlines()) for file in EVERY_FILE}
    assert {file: lines for file, lines in lengths.items() if lines > 400} == {}


def test_every_file_says_what_it_is_for():
    silent = [_relative(f) for f in SOURCES if not ast.get_docstring(ast.parse(f.read_text()))]
    assert silent == []


def test_public_objects_have_a_docstring():
    silent = [name for name, value in _public_objects().items() if not inspect.getdoc(value)]
    assert silent == []


def test_public_classes_are_registered_under_lipot():
    classes = {
        name: value
        for name, value in _public_objects().items()
        if inspect.isclass(value) and hasattr(value, "get_config")
    }
    assert classes
    names = {name: keras.saving.get_registered_name(value) for name, value in classes.items()}
    assert {name: at for name, at in names.items() if not at.startswith("lipot>")} == {}


def test_every_form_of_import_is_seen():
    source = """
import keras.ops
from lipot.math import orthogonal
from . import base
from ..losses import hkr
def late():
    from lipot import cli
"""
    assert list(imported_names(source, ("lipot", "layers"))) == [
        "keras.ops",
        "lipot.math.orthogonal",
        "lipot.layers.base",
        "lipot.losses.hkr",
        "lipot.cli",
    ]


# A newcomer reads what Keras promises; what it does not promise is in one file.
DOOR = ROOT / "lipot" / "backend" / "keras_graph.py"
# Not attributes of an instance before it is called, compiled or loaded.
MORE_PRIVATE_NAMES = {"_keras_history", "_keras_mask", "_inbound_nodes", "_nodes_by_depth"}


def _private_names_of_keras():
    """The names with one underscore that objects of Keras have, and Python's own do not."""
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    model.compile("sgd", "mse", metrics=["accuracy"])
    sequential = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    step = keras.ops.add(inputs, inputs)
    objects = [model, sequential, inputs, model.layers[-1], model.optimizer, model.weights[0]]
    objects += [keras.losses.Hinge(), keras.metrics.Mean(), keras.callbacks.Callback()]
    objects += [step, keras.random.SeedGenerator(0), keras.optimizers.schedules.CosineDecay(1, 1)]
    names = {name for part in objects for name in dir(part)} | MORE_PRIVATE_NAMES
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


def _own_names(tree):
    """What some code itself defines with an underscore: methods, attributes, class variables."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def private_uses(source, names, own):
    """Yields the private names of Keras that some code reads, by a dot or as a string.

    Names of lipot's own (`own`) may be read on `self`, and on others in the file that defines them.
    """
    tree = ast.parse(source)
    near = set(_own_names(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in names:
            of_itself = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if node.attr not in (own if of_itself else near):
                yield node.attr
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith("attr"):
            texts = (a.value for a in node.args if isinstance(a, ast.Constant))
            yield from (text for text in texts if text in names)


def test_one_door_to_the_inside_of_keras():
    names = _private_names_of_keras()
    trees = {file: ast.parse(file.read_text()) for file in SOURCES}
    own = {name for tree in trees.values() for name in _own_names(tree)}
    wrong = [
        (_relative(file), name)
        for file in SOURCES
        if file != DOOR
        for name in private_uses(file.read_text(), names, own)
    ]
    assert wrong == [], "Put it behind lipot/backend/keras_graph.py, or use what Keras promises."
    inside = [(_relative(f), n) for f in SOURCES for n in _imports(f) if n.startswith("keras.src")]
    assert inside == []


def test_every_way_through_another_door_is_seen():
    source = """
layer._tracker.unlock()
self._tracker.lock()
self._mine = super()._mine
other._far
self._far
getattr(model, "_functional", None)
"""
    names = {"_tracker", "_functional", "_mine", "_far"}
    found = sorted(private_uses(source, names, {"_mine", "_far"}))
    assert found == ["_far", "_functional", "_tracker", "_tracker"]
    assert {"_tracker", "_functional", "_flatten_layers", "_loss_tracker", "_inputs_struct"} <= (
        _private_names_of_keras()
    )
