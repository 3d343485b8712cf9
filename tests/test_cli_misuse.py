"""Options that cannot be: one line and exit code 2, before anything is read or shown."""

import argparse

import pytest

from lipot import cli, evaluation
from lipot.evaluation.attacks import suite
from lipot_cli import options

INTEGER, POSITIVE = "expected a positive integer, received ", "expected a positive finite number"
NONNEGATIVE, WORKERS = (
    "expected a finite number, zero or more",
    "expected a positive integer or ray",
)
SEED, WEIGHT = "expected an integer from 0 to 2**31", "expected a number, zero or more, or inf"
# What each type of option refuses.
WRONG = {
    INTEGER: ("0", "-1", "1.5", "nan", "", "foo"),
    POSITIVE: ("0", "-1", "nan", "inf", "", "foo"),
    NONNEGATIVE: ("-1", "nan", "inf", "", "foo"),
    WORKERS: ("0", "-1", "1.5", "nan", "", "foo", "ray://", "ray://host", "ray://:1"),
    SEED: ("-1", "1.5", "nan", "", "foo", "4294967296"),
    WEIGHT: ("-1", "nan", "", "foo"),
    "expected a finite number, received": ("nan", "inf", "foo"),
    "invalid choice": ("", "foo", "3"),
    "must end in ": ("", "page", "page.txt"),
    "expected one of quick, ": ("", "foo", "PGD"),
}
ASKS = {"--norm": "invalid choice", "--limit": INTEGER, "--workers": WORKERS}
OPTIONS = {
    "certify m d": {**ASKS, "--eps": NONNEGATIVE, "--out": "must end in "},
    "evaluate m d": {
        **ASKS,
        "--eps": POSITIVE,
        "--attacks": "expected one of quick, ",
        "--range": "expected a finite number, received",
        "--outputs": "invalid choice",
        "--batch-size": INTEGER,
        "--seed": SEED,
        "--out": "must end in ",
        "--json": "must end in ",
        "--eot-samples": INTEGER,
    },
    "train": {
        "--method": "invalid choice",
        "--epochs": INTEGER,
        "--minutes": POSITIVE,
        "--batch-size": INTEGER,
        "--learning-rate": POSITIVE,
        "--alpha": WEIGHT,
        "--margin": NONNEGATIVE,
        "--eps": POSITIVE,
        "--weight": NONNEGATIVE,
        "--smoothness": POSITIVE,
        "--seed": SEED,
        "--out": "must end in ",
        "--devices": INTEGER,
    },
    "report f": {"--table": "invalid choice", "--out": "must end in "},
}
CASES = [
    (f"{command} {option}=".split(" ") + [value], message)
    for command, of_command in OPTIONS.items()
    for option, message in of_command.items()
    for value in WRONG[message]
]


def _words(words):
    *before, option, value = words
    name = option.removesuffix("=")
    # Joined, so that -1 is no option; two numbers cannot be.
    return [*before, name, "0", value] if name == "--range" else [*before, option + value]


@pytest.mark.parametrize(("words", "message"), CASES, ids=lambda part: " ".join(part)[-30:])
def test_each_option_says_what_it_takes(words, message, capsys):
    _assert_misuse(_words(words), message, capsys)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "required: COMMAND"),
        ("fly", "invalid choice"),
        ("evaluate m d --range 1 0", "--range expected the least value first"),
        ("evaluate m d --range 1 1", "--range expected the least value first"),
        ("evaluate m d --attacks pgd foo", "names among fgsm, mim"),
        ("evaluate m d --attacks pgd pgd", "each once. Received: pgd pgd"),
        ("evaluate m d --attacks quick pgd", "names among fgsm, mim"),
        ("certify m d --eps 0.1 -1", "--eps: expected a finite number, zero or more"),
        ("train --minutes 1", "--minutes does not apply to --method hkr"),
        ("train --method certified --epochs 3", "--epochs does not apply to --method"),
        ("train --method otjr --alpha 2", "--alpha does not apply to --method otjr"),
    ],
)
def test_words_that_do_not_go_together_are_refused(words, message, capsys):
    _assert_misuse(words.split(), message, capsys)


def test_a_radius_may_be_a_fraction():
    assert [options.positive_float(text) for text in ("8/255", "0.5", "1e-3")] == [
        8 / 255,
        0.5,
        1e-3,
    ]
    assert options.nonnegative_float("0/255") == 0.0
    for wrong in ("8/", "/255", "8/0", "1/2/3", "-8/255"):
        with pytest.raises(argparse.ArgumentTypeError, match="expected a positive finite number"):
            options.positive_float(wrong)


def test_names_of_attacks_are_those_that_exist():
    assert options.ATTACKS == tuple(suite.ATTACKS) == tuple(evaluation.ATTACKS)
    assert tuple(suite.SUITES) == options.SUITES


def _assert_misuse(words, message, capsys):
    try:
        code = cli.main(words)
    except SystemExit as stopped:
        code = stopped.code
    shown = capsys.readouterr()
    assert code == 2 and shown.out == "" and message in shown.err
    assert shown.err.startswith("lipot") and shown.err.count("\n") == 1
