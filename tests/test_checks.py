"""The checks of arguments, each by hand, and that nobody writes them a second time."""

import ast
import pathlib
import re

import keras
import numpy as np
import pytest

import lipot
from lipot import checks

ROOT = pathlib.Path(__file__).parents[1]
NO_NUMBERS = ("1", b"1", True, np.True_, None, [1.0], float("nan"), 1j)


def refused(check, value, *arguments, **settings):
    """The error of a check, which must name the argument and what was received."""
    with pytest.raises(ValueError) as error:
        check("size", value, *arguments, **settings)
    message = str(error.value)
    assert message.startswith("Invalid value received for argument `size`. Expected ")
    assert message.endswith(f". Received: size={value!r}")
    return message.partition("Expected ")[2].partition(". Received")[0]


def test_positive_float():
    for given in (1, 2.5, np.float32(0.5), np.array(3.0), 1e-300):
        number = checks.positive_float("size", given)
        assert type(number) is float and number == given
    for bad in (*NO_NUMBERS, 0, -1.0, float("inf")):
        assert refused(checks.positive_float, bad) == "a positive finite number"
    assert checks.positive_float("size", 0.5, most=0.5) == 0.5
    assert refused(checks.positive_float, 0.51, most=0.5) == "a number in (0, 0.5]"


def test_nonnegative_float():
    assert checks.nonnegative_float("size", 0) == 0.0
    for bad in (*NO_NUMBERS, -1e-9, float("inf")):
        assert refused(checks.nonnegative_float, bad) == "a non-negative finite number"
    assert checks.nonnegative_float("size", float("inf"), infinite=True) == float("inf")
    expected = "a non-negative number (inf allowed)"
    for bad in (*NO_NUMBERS, -1.0):
        assert refused(checks.nonnegative_float, bad, infinite=True) == expected


def test_finite_float():
    for given in (0, -2.5, np.float32(0.5), np.array(3.0)):
        number = checks.finite_float("size", given)
        assert type(number) is float and number == given
    for bad in (*NO_NUMBERS, float("inf"), -float("inf")):
        assert refused(checks.finite_float, bad) == "a finite number"
    assert refused(checks.finite_float, "1", "an end") == "an end"


def test_norm():
    for two in (2, 2.0, np.int64(2), "2", "l2", "L2"):
        found = checks.norm("size", two)
        assert type(found) is int and found == 2
    for infinite in (np.inf, float("inf"), np.float32(np.inf), "inf", "Inf", "linf", "Linf"):
        assert checks.norm("size", infinite) == "inf"
    for bad in (True, np.True_, None, 1, 3, "1", "l1", "two", "", -np.inf, np.nan, 2.5, [2], (2,)):
        assert refused(checks.norm, bad) == '2 (or "l2") or "inf" (or "linf")'


def test_array():
    assert checks.array("size", [[1, 2]], "points").shape == (1, 2)
    assert refused(checks.array, 0.5, "points") == "points"
    assert refused(checks.array, [[1], [1, 2]], "points") == "points"
    for stream, kind in ((iter([1]), "list_iterator"), ({1: 2}, "dict"), (object(), "object")):
        with pytest.raises(ValueError, match=f"`size`. Expected points. Received: a {kind}$"):
            checks.array("size", stream, "points")


def test_probability():
    assert [checks.probability("size", p) for p in (0, 0.25, 1)] == [0.0, 0.25, 1.0]
    for bad in (*NO_NUMBERS, -0.01, 1.01, float("inf")):
        assert refused(checks.probability, bad) == "a number between 0 and 1"


def test_integers():
    for given in (1, 7, np.int64(3), np.uint8(2)):
        number = checks.positive_int("size", given)
        assert type(number) is int and number == given
    for bad in (*NO_NUMBERS, 0, -1, 1.0, np.float32(2.0)):
        assert refused(checks.positive_int, bad) == "a positive integer"
    assert checks.nonnegative_int("size", 0) == 0
    for bad in (*NO_NUMBERS, -1, 0.0):
        assert refused(checks.nonnegative_int, bad) == "a non-negative integer"
    assert checks.integer("size", -3) == -3
    assert checks.integer("size", 9, "at most 9", most=9) == 9
    assert refused(checks.integer, 10, "at most 9", most=9) == "at most 9"


def test_pair():
    assert checks.pair("size", 2) == (2, 2)
    assert checks.pair("size", [1, np.int32(3)]) == (1, 3)
    for bad in (*NO_NUMBERS, 0, (1,), (1, 2, 3), (1, 0), (1, 2.0), (True, 1), "22"):
        expected = "a positive integer or a pair of positive integers"
        assert refused(checks.pair, bad) == expected


def test_boolean():
    assert checks.boolean("size", False) is False and checks.boolean("size", np.True_) is True
    for bad in (0, 1, None, "no", np.ones(1, bool)):
        assert refused(checks.boolean, bad) == "a boolean"


def test_choice():
    assert checks.choice("size", 2, ("inf", 2)) == 2
    assert refused(checks.choice, "one", ("inf", 2)) == "one of ('inf', 2)"
    # What cannot be looked up in a dictionary is no key of it.
    assert refused(checks.choice, ["a"], {"a": 1, "b": 2}) == "one of ('a', 'b')"


def test_instance():
    assert checks.instance("size", None, str | None, "a name or None") is None
    assert refused(checks.instance, 3, str | None, "a name or None") == "a name or None"


def test_a_model_must_have_its_weights():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    assert checks.built_model("size", model) is model
    for bad in (keras.layers.Dense(1), None, "model.keras"):
        assert refused(checks.built_model, bad) == "a Keras model: load a file with load_model"
    unbuilt = refused(checks.built_model, keras.Sequential([keras.layers.Dense(1)]))
    assert unbuilt == "a built model: give it an input shape or call it on data"


@pytest.mark.parametrize(
    ("given", "classes", "expected"),
    [
        ([2, 0, 1], 3, [2, 0, 1]),
        (np.array([[2.0], [0.0], [1.0]]), 3, [2, 0, 1]),
        (np.eye(3)[[2, 0, 1]], 3, [2, 0, 1]),
        (2 * np.eye(3)[[2, 0, 1]] - 1, 3, [2, 0, 1]),
        ([True, False, True], 2, [1, 0, 1]),
        ([[1], [-1], [1]], 1, [1, 0, 1]),
        ([1, 0, 1], 1, [1, 0, 1]),
    ],
)
def test_labels(given, classes, expected):
    found = checks.labels(given, 3, classes)
    assert found.dtype.kind == "i" and found.tolist() == expected


@pytest.mark.parametrize(
    ("given", "classes", "message"),
    [
        ([0, 1], 3, r"shape \(3,\) or \(3, 3\). Received: shape \(2,\)"),
        (np.zeros((3, 2)), 3, "Received: shape"),
        (["a", "b", "c"], 3, "np.unique.*makes of names. Received: dtype"),
        ([0, 1, np.nan], 3, "finite numbers. Received: 1 NaN"),
        ([0, 1, 3], 3, r"class numbers from 0 to 2. Received: values \[3\]"),
        ([0, 1, 0.5], 3, "class numbers"),
        ([0, 1, -1], 3, "class numbers"),
        ([0, 1, 2], 1, r"\{0, 1\} or \{-1, 1\}"),
        ([0, 1, -1], 1, r"\{0, 1\} or \{-1, 1\}"),
        (np.full((3, 3), 1 / 3), 3, "rows with a single 1"),
        (np.zeros((3, 3)), 3, "rows with a single 1"),
    ],
)
def test_labels_that_are_none(given, classes, message):
    with pytest.raises(ValueError, match=f"argument `y`. Expected .*{message}"):
        checks.labels(given, 3, classes)


# What the errors of `lipot.checks` expect: whoever writes one of these again has the check again.
KNOWN = re.compile(
    r"""(
    an?\ (strictly\ )?(positive|non-?negative)\ (finite\ )?(number|float|integer|int)
        (\ \(inf\ allowed\)|\ or\ None|\ or\ a\ pair\ of.*)?
    | an?\ finite\ number,\ zero\ or\ more
    | an?\ (integer|int|boolean|bool)
    | an?\ (number|float)\ (between\ 0\ and\ 1|in\ [\[(].*)
    | one\ of\ \{\}
    )""",
    re.VERBOSE,
)
# Where it may be, and why.
ALLOWED = {
    ("lipot/datasets/registry.py", "load"): "it shows the names as the command line takes them",
}


def repeated_checks(source):
    """Names the functions that make an error of what `lipot.checks` checks."""
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef):
            calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
            if any(KNOWN.fullmatch(text) for call in calls for text in _expected(call)):
                yield function.name


def _expected(call):
    """What an error says was expected, with `{}` for what is filled in.

    Reads `ValueError("Invalid value ... Expected X. Received ...")` and `invalid(name, "X", ...)`.
    `refused` is read as `invalid` is.
    """
    name = ast.unparse(call.func).rpartition(".")[2].lstrip("_")
    texts = [text for text in map(_text, call.args) if text is not None]
    if name == "ValueError":
        return [
            text.partition("Expected ")[2].partition(" Received")[0].rstrip(".")
            for text in texts
            if "Invalid value received for argument" in text
        ]
    return texts if name in ("invalid", "refused") else []


def _text(node):
    if isinstance(node, ast.BinOp):
        return "".join(_text(side) or "{}" for side in (node.left, node.right))
    if isinstance(node, ast.JoinedStr):
        return "".join(
            part.value if isinstance(part, ast.Constant) else "{}" for part in node.values
        )
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def test_no_check_is_written_twice():
    found = {
        (str(file.relative_to(ROOT)), function)
        for file in ROOT.glob("lipot/**/*.py")
        if file.parent != ROOT / "lipot" / "checks"
        for function in repeated_checks(file.read_text())
    }
    assert found == set(ALLOWED), "lipot.checks has this check: call it."


@pytest.mark.parametrize(
    "error",
    [
        'ValueError(f"{START} `a`. Expected a positive integer. Received: a={a}")',
        'ValueError(f"{START} `{n}`. " f"Expected a non-negative float. Received: {n}={a!r}.")',
        'ValueError("{START} `a`. Expected one of " f"{CHOICES}. Received: a={a!r}")',
        'ValueError("{START} `a`. Expected a boolean. Received: a=" + repr(a))',
        '_invalid("a", "a number between 0 and 1", a)',
        'checks.invalid("a", f"one of {CHOICES}", a)',
        'checks.refused("a", "a boolean", "another")',
    ],
)
def test_a_check_written_again_is_seen(error):
    error = error.replace("{START}", "Invalid value received for argument")
    source = f"def check(a):\n    if a:\n        raise {error}\n"
    assert list(repeated_checks(source)) == ["check"]


def test_other_errors_are_left_alone():
    expected = "an increasing list, one of whose values is a positive integer"
    source = f"def check(a):\n    raise checks.invalid('a', {expected!r}, a)\n"
    assert list(repeated_checks(source)) == []


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: lipot.layers.SpectralDense(3, use_bias="no"), "use_bias"),
        (lambda: lipot.layers.SpectralDense(3, eps_spectral="0.1"), "eps_spectral"),
        (lambda: lipot.layers.FrobeniusDense(3, disjoint_neurons="no"), "disjoint_neurons"),
        (lambda: lipot.layers.LInfDistanceDense(3, use_bias="no"), "use_bias"),
        (lambda: lipot.layers.SelfAttention(2, normalize="no"), "normalize"),
        (lambda: lipot.layers.BatchCentering(center="no"), "center"),
        (lambda: lipot.layers.ScaledGlobalAveragePooling2D(keepdims="no"), "keepdims"),
        (lambda: lipot.layers.GroupSort2(data_format=""), "data_format"),
        (lambda: lipot.layers.ScaledAveragePooling2D(data_format=0), "data_format"),
        (lambda: lipot.layers.SpectralConv2D(3, 3, data_format=""), "data_format"),
        (lambda: lipot.layers.ConvexInterpolation(1.0, float("-inf")), "convexity"),
        (lambda: lipot.losses.GOT(label_matching="no"), "label_matching"),
        (lambda: lipot.callbacks.CondenseCallback(on_epoch="no"), "on_epoch"),
    ],
)
def test_what_python_would_take_for_true_or_for_a_default_is_refused(make, name):
    with pytest.raises(ValueError, match=f"argument `{name}`"):
        make()


@pytest.mark.parametrize(
    "layer",
    [
        lipot.layers.InvertibleDownSampling(2),
        lipot.layers.InvertibleUpSampling(2),
        lipot.layers.SpatialShift2D(),
        lipot.layers.GroupSort2(),
        lipot.layers.Householder(),
        lipot.layers.PatchEmbedding(2, 6),
        lipot.layers.SelfAttention(2),
    ],
)
def test_an_open_number_of_channels_is_named(layer):
    with pytest.raises(ValueError, match="needs a fixed number of channels"):
        layer(keras.Input((8, 8, None)))
