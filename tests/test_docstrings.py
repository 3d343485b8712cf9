"""What the docstring of a class must say, by the room that it is in."""

import ast
import pathlib

import pytest

LIPOT = pathlib.Path(__file__).parents[1] / "lipot"
OF_A_MAP = ("Args", "Input shape", "Output shape", "Lipschitz bound", "Example")
OF_A_NUMBER = ("Args", "Input shape", "Output shape", "Reference", "Example")
# Sections of the classes that a file can hold, those registered with Keras.
REQUIRED = {
    "layers": OF_A_MAP,
    "models": OF_A_MAP,
    "purifiers": OF_A_MAP,
    "losses": ("Args", "Example"),
    "metrics": OF_A_NUMBER,
    "attacks": ("Args", "Reference", "Example"),
    "callbacks": ("Args", "Example"),
    "optimizers": ("Args", "Example"),
    "constraints.py": ("Args", "Example"),
    "initializers.py": ("Args", "Example"),
    "regularizers.py": ("Args", "Example"),
}
ALLOWED = {
    "Attack": "a base, whose subclasses say it",
    "PairedLoss": "a base, whose subclasses say it",
    "Purifier": "a base, whose subclasses say it",
    "Model": "it is Keras's, of whatever inputs and outputs it is given",
    "Functional": "it is a Model",
    "Sequential": "it is Keras's, of whatever layers it is given",
    "NeighborMemory": "it is not called: it holds weights",
    "StandardNormal": "it is a distribution, not a map",
    "StepEmbedding": "it maps the numbers of steps, not inputs",
}


def documented(source):
    """Yields the name and the docstring of every registered class in some code."""
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    for node in classes:
        registered = "register_keras_serializable" in "".join(map(ast.unparse, node.decorator_list))
        if registered and not node.name.startswith("_"):
            yield node.name, ast.get_docstring(node) or ""


def missing(doc, sections):
    """The sections that a docstring lacks."""
    return [name for name in sections if f"{name}:" not in doc.splitlines()]


def lacking(room):
    """The sections that every registered class of a room lacks."""
    path = LIPOT / room
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    classes = dict(found for file in files for found in documented(file.read_text()))
    return {name: missing(doc, REQUIRED[room]) for name, doc in classes.items()}


@pytest.mark.parametrize("room", REQUIRED)
def test_a_class_says_what_its_room_asks_for(room):
    found = lacking(room)
    assert found
    assert {n: sections for n, sections in found.items() if sections and n not in ALLOWED} == {}


def test_what_is_allowed_is_there_and_lacks_something():
    found = {name: sections for room in REQUIRED for name, sections in lacking(room).items()}
    assert all(found[name] for name in ALLOWED)


def test_examples_are_for_every_backend():
    # Tensors of JAX have no such method.
    lines = [line for file in LIPOT.glob("**/*.py") for line in file.read_text().splitlines()]
    examples = [line for line in lines if line.lstrip().startswith((">>> ", "... "))]
    assert len(examples) > 500 and [line for line in examples if ".numpy()" in line] == []


def test_a_section_that_is_missing_is_seen():
    source = '''
@keras.saving.register_keras_serializable(package="lipot")
class Map(keras.layers.Layer):
    """A map.

    Args:
        units: Int, see Example: below.
    """

class Unregistered:
    pass
'''
    ((name, doc),) = documented(source)
    assert name == "Map" and missing(doc, ("Args", "Example")) == ["Example"]
