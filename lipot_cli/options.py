"""Types, names and checks of arguments that several commands take."""

import argparse
import math
import os
import pathlib
import re

# Those of lipot.datasets, whose import takes seconds.
DATA_SETS = (
    *("celeba_eyeglasses", "cifar10", "cifar100", "digits", "fashion_mnist", "mnist"),
    *("pbmc68k", "stl10", "svhn", "tiny_imagenet", "two_moons", "wine"),
)
DATA_HELP = (
    "an .npz file with arrays x and y, or x_test and y_test; or the test points of one of: "
    + ", ".join(DATA_SETS)
)

# Those of lipot.evaluation, likewise.
SUITES = ("quick", "standard", "exhaustive")
ATTACKS = (
    *("fgsm", "mim", "pgd", "apgd", "deepfool", "cw", "autoattack"),
    *("square", "hopskipjump", "simba", "ngopt"),
)

# What `lipot.checks.norm` understands.
NORMS = ("2", "l2", "inf", "linf")
# Those of each norm that a command takes where none are given.
RADII = {2: (0.25, 0.5, 1.0, 1.5), "inf": (0.05, 0.1, 0.2, 0.3)}
RADII_HELP = "if left out, " + " or ".join(
    f"{' '.join(f'{radius:g}' for radius in radii)} in l{norm}" for norm, radii in RADII.items()
)

WORKERS_HELP = "processes to work with, or ray://host:port of a cluster (default: this one alone)"


class Misuse(ValueError):
    """Options that cannot be, whatever the files that they name hold."""


class Parser(argparse.ArgumentParser):
    """A parser that says on one line what is wrong."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}. See {self.prog} --help.\n")


def add_points(command, data_is):
    """Adds what commands that ask a model about points have in common.

    Args:
        command: Parser of the command.
        data_is: How its help says in which units the points are.
    """
    add = command.add_argument
    add("model", metavar="MODEL", help="a .keras file, or preset:NAME, such as preset:digits-hkr")
    add("data", metavar="DATA", help=f"points {data_is}: {DATA_HELP}")
    add("--norm", type=str.lower, choices=NORMS, default="2", help="norm of the radii")
    add("--limit", type=positive_int, metavar="N", help="take the first N points (default: all)")


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help that shows the defaults that say something."""

    def _get_help_string(self, action):
        # A default of 0 is one.
        if action.default is None or action.default is False:
            return action.help
        if isinstance(action.default, list):
            return f"{action.help} (default: {' '.join(action.default)})"
        return super()._get_help_string(action)


def positive_int(text):
    """A positive integer from its text."""
    return _number(text, int, lambda value: value >= 1, "a positive integer")


def workers(text):
    """A number of processes, or the address of a cluster, from its text."""
    if re.fullmatch(r"ray://.+:\d+", text):
        return text
    return _number(text, int, lambda value: value >= 1, "a positive integer or ray://host:port")


def positive_float(text):
    """A positive finite number from its text, which may be a fraction such as 8/255."""
    return _number(
        text, _fraction, lambda value: 0.0 < value < math.inf, "a positive finite number"
    )


def nonnegative_float(text):
    """A finite number, zero or more, from its text, which may be a fraction."""
    expected = "a finite number, zero or more"
    return _number(text, _fraction, lambda value: 0.0 <= value < math.inf, expected)


def finite_float(text):
    """A finite number from its text."""
    return _number(text, float, math.isfinite, "a finite number")


def weight_or_infinity(text):
    """A number, zero or more, or inf, from its text."""
    return _number(text, float, lambda value: value >= 0.0, "a number, zero or more, or inf")


def check_range(ends):
    """Raises unless there are no two ends of a range, or the lower one comes first."""
    if ends is not None and not ends[0] < ends[1]:
        raise Misuse(
            "--range expected the least value first and a greater one after it. "
            f"Received: {ends[0]:g} {ends[1]:g}"
        )


def check_attacks(names):
    """Raises unless these are names of attacks, each once, or the name of one suite."""
    if len(names) == 1 and names[0] in SUITES:
        return
    if not set(names) <= set(ATTACKS) or len(set(names)) < len(names):
        raise Misuse(
            f"--attacks expected one of {', '.join(SUITES)}; or names among {', '.join(ATTACKS)}, "
            f"each once. Received: {' '.join(names)}"
        )


def seed(text):
    """What every generator of random numbers takes for a seed, from its text."""
    return _number(text, int, lambda value: 0 <= value <= 2**31, "an integer from 0 to 2**31")


def check_output(option, path, suffix):
    """Raises an error where a file cannot be written as it should, before any work is done."""
    if path is None:
        return
    path = pathlib.Path(path)
    if path.suffix != suffix:
        raise Misuse(f"{option} must end in {suffix}. Received: {path}")
    # Folders on the way are made: the nearest that is there must take them.
    there = next(place for place in path.absolute().parents if place.exists())
    if path.is_dir() or not there.is_dir() or not os.access(there, os.W_OK):
        raise ValueError(f"{option} must be a file that can be written. Received: {path}")


def check_folder(option, path):
    """Raises an error where a folder cannot be made, since a file is in its place."""
    path = pathlib.Path(path)
    if any(place.is_file() for place in (path, *path.parents)):
        raise ValueError(f"{option} must be a folder, or free to become one. Received: {path}")


def check_input(path, expected):
    """Raises an error where there is no file to read."""
    if pathlib.Path(path).is_dir():
        raise ValueError(f"{path} is a folder. Expected {expected}.")
    if not pathlib.Path(path).is_file():
        raise ValueError(f"There is no file {path}. Expected {expected}.")


def _fraction(text):
    above, slash, below = text.partition("/")
    return float(above) / float(below) if slash else float(above)


def _number(text, kind, holds, expected):
    try:
        value = kind(text)
    except (ValueError, ZeroDivisionError):
        value = None
    if value is None or not holds(value):
        raise argparse.ArgumentTypeError(f"expected {expected}, received {text}")
    return value
