"""What docs/how-to-add.md says is done here, in a copy of lipot: the same places, no more."""

import pathlib
import re
import shutil
import subprocess
import sys
import textwrap

import pytest

ROOT = pathlib.Path(__file__).parents[1]
GUIDE = (ROOT / "docs/how-to-add.md").read_text()
BLOCK = re.compile(r'^```(python|diff) title="(.*)"\n((?:.*\n)*?)```$', re.MULTILINE)
COPIED = (
    *("lipot", "tests", "docs", "benchmarks", "mkdocs.yml"),
    *("pyproject.toml", "README.md", "CONTRIBUTING.md"),
)
RULES = (
    "tests/test_architecture.py",
    "tests/test_checks.py::test_no_check_is_written_twice",
    "tests/test_docs.py::test_every_layer_is_in_the_table_of_layers",
    "tests/test_docs.py::test_every_public_name_has_its_place_in_the_api_pages",
)
SMALL = """
    import keras, lipot, numpy as np
    x = np.random.default_rng(0).uniform(size=(12, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    y = model.predict(x, verbose=0).argmax(axis=1)
"""
# By section: tests of the copy that must pass too, and a program that uses what was added.
KINDS = {
    "A layer": (
        ["tests/test_public_classes.py", "tests/interop/test_plain.py", "-k", "SoftThreshold"],
        """
        layer = lipot.layers.SoftThreshold(0.1, k_coef_lip=0.5)
        head = lipot.layers.FrobeniusDense(2)
        model = keras.Sequential([keras.Input((4,)), layer, head])
        assert layer.bound((None, 4)).lipschitz == layer.lipschitz_bound == 0.5
        assert 0.0 < lipot.lipschitz_constant(model) <= 0.5 * np.sqrt(2.0) * 1.001
        certificate = lipot.certify(model, x, model.predict(x, verbose=0).argmax(axis=1))
        logits = model.predict(x, verbose=0)
        weights = np.asarray(keras.ops.convert_to_numpy(head.inference_kernel), "float64")
        lead = np.abs(logits[:, 0] - logits[:, 1])
        expected = lead / (0.5 * np.linalg.norm(weights[:, 0] - weights[:, 1]))
        np.testing.assert_allclose(certificate.radius, expected, rtol=1e-3, atol=1e-5)
        """,
    ),
    "A paired loss": (
        [
            "tests/test_public_classes.py",
            "tests/losses/test_paired_losses.py",
            "-k",
            "LogitPairing",
        ],
        """
        loss = lipot.losses.LogitPairing()
        robust = lipot.AdversarialModel(model, lipot.attacks.FGSM(0.1), [loss])
        robust.compile("adam")
        assert robust.fit(x, y, verbose=0).history["logit_pairing"][0] > 0.0
        """,
    ),
    "A loss": (
        ["tests/test_public_classes.py", "-k", "SquaredHinge"],
        """
        model.compile("adam", lipot.losses.SquaredHinge())
        assert np.isfinite(model.fit(x, np.eye(2)[y], verbose=0).history["loss"]).all()
        """,
    ),
    "An attack of the evaluation": (
        ["tests/evaluation/attacks/test_suite.py"],
        """
        quiet = {"sanity": False, "views": False, "progress": False, "clip_values": (0, 1)}
        report = lipot.evaluate(model, x, y, "inf", [0.9], ["bim"], **quiet)
        assert report.table()["robust"][0] < 1.0
        try:
            lipot.evaluate(model, x, y, 2, [0.9], ["bim"], **quiet)
        except ValueError as error:
            assert "l-infinity alone" in str(error)
        else:
            raise AssertionError("The obstacle was not seen.")
        """,
    ),
    "A view of the report": (
        ["tests/evaluation/page/views/test_views.py", "tests/evaluation/page/test_page.py", "-k"]
        + ["every_view or every_file or survive or stands_alone"],
        """
        report = lipot.evaluate(
            model, x, y, "inf", [0.1], ["fgsm"], clip_values=(0, 1), sanity=False, progress=False
        )
        view = report.evaluations[0].views["margins"]
        logits = model.predict(x, verbose=0)
        lead = np.abs(logits[:, 0] - logits[:, 1])
        np.testing.assert_allclose(view.clean, lead, rtol=1e-4, atol=1e-5)
        from lipot.evaluation import page
        assert "Lead of the right class" in page.render(report)
        """,
    ),
    "A data set": (
        ["lipot/datasets/registry.py"],
        """
        data = lipot.datasets.load("circles", seed=1)
        assert data.x_train.shape == (2000, 2) and set(data.y_test) == {0, 1}
        """,
    ),
}


# What is one line: an entry in the registry.
ONE_LINE = ("An attack of the evaluation", "A view of the report")


def section(title):
    """The text of the guide under a heading."""
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL).group(1)


def stated(text):
    """How many files a section says are new, exist already, are pages and are tests."""
    claim = (
        r"^\*\*(\d+) new files?, (\d+) existing files?(?:, (\d+) pages?)?(?:, (\d+) tests?)?\.\*\*$"
    )
    return tuple(int(n or 0) for n in re.search(claim, text, re.MULTILINE).groups())


def apply(diff, text):
    """Changes a text by a diff without line numbers: every part must fit in exactly one place."""
    for part in diff.split("...\n"):
        lines = part.splitlines(keepends=True)
        before = "".join(line[1:] or "\n" for line in lines if not line.startswith("+"))
        after = "".join(line[1:] or "\n" for line in lines if not line.startswith("-"))
        assert text.count(before) == 1, f"This must stand once in the file:\n{before}"
        text = text.replace(before, after)
    return text


@pytest.fixture
def scratch(tmp_path):
    for name in COPIED:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        ignored = {"ignore": shutil.ignore_patterns("__pycache__")} if source.is_dir() else {}
        copy(source, tmp_path / name, **ignored)
    return tmp_path


def add(folder, text):
    """Does what a section says and returns which files are new and which were changed."""
    new, changed = [], []
    for language, name, code in BLOCK.findall(text):
        file = folder / name
        if language == "python":
            assert not file.exists()
            file.write_text(code)
            new.append(name)
        else:
            file.write_text(apply(code, file.read_text()))
            changed.append(name)
    return new, changed


def run(folder, *arguments):
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


# Each is half a minute of subprocesses: one of them stands for all in the default tests.
@pytest.mark.parametrize(
    "kind", [k if k == "A layer" else pytest.param(k, marks=pytest.mark.slow) for k in KINDS]
)
def test_the_example_is_added_in_the_places_it_says(kind, scratch):
    text, (tests, program) = section(kind), KINDS[kind]
    new, changed = add(scratch, text)
    pages = [name for name in changed if name.startswith("docs/")]
    tested = [name for name in new + changed if name.startswith("tests/")]
    made = [name for name in new if not name.startswith("tests/")]
    code = [name for name in changed if name.startswith("lipot/")]
    assert len(set(new + changed)) == len(pages + tested + made + code) == len(new + changed)
    assert stated(text) == (len(made), len(code), len(pages), len(tested))
    if kind in ONE_LINE:
        (file,) = code
        before, after = ((root / file).read_text().splitlines() for root in (ROOT, scratch))
        assert len(after) == len(before) + 1 and set(before) <= set(after)
    different = [
        name
        for name in (str(f.relative_to(scratch)) for f in scratch.rglob("*") if f.is_file())
        if not (ROOT / name).is_file()
        or (ROOT / name).read_bytes() != (scratch / name).read_bytes()
    ]
    assert sorted(different) == sorted(new + changed)
    run(scratch, "-m", "pytest", "-p", "no:cacheprovider", *RULES, *new)
    if tests:
        assert " passed" in run(scratch, "-m", "pytest", "-p", "no:cacheprovider", "-v", *tests)
    here = f"assert lipot.__file__.startswith({str(scratch)!r})\n"
    run(scratch, "-c", textwrap.dedent(SMALL) + here + textwrap.dedent(program))


def test_every_section_is_tried_but_that_of_pages():
    titles = re.findall(r"^## (.*)$", GUIDE, re.MULTILINE)
    assert set(titles) == {*KINDS, "A page"}
    assert stated(section("A page")) == (1, 1, 0, 0)


def test_a_diff_fits_in_one_place():
    assert apply(" a\n+b\n...\n-c\n+d\n", "a\nc\n") == "a\nb\nd\n"
    for text in ("c\n", "a\na\nc\n"):
        with pytest.raises(AssertionError, match="must stand once"):
            apply(" a\n+b\n", text)
