"""Types of arguments that several commands take."""

import argparse
import pathlib


def positive_int(text):
    """A positive integer from its text."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a positive integer, received {text}")
    return value


def check_suffix(option, path, suffix):
    """Raises an error where a file to write does not end as it should, before any work is done."""
    if path is not None and pathlib.Path(path).suffix != suffix:
        raise ValueError(f"{option} must end in {suffix}. Received: {path}")
