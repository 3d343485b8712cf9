"""Types of arguments that several commands take."""

import argparse
import os
import pathlib


def positive_int(text):
    """A positive integer from its text."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a positive integer, received {text}")
    return value


def check_output(option, path, suffix):
    """Raises an error where a file cannot be written as it should, before any work is done."""
    if path is None:
        return
    path = pathlib.Path(path)
    if path.suffix != suffix:
        raise ValueError(f"{option} must end in {suffix}. Received: {path}")
    # Folders on the way are made: the nearest that is there must take them.
    there = next(place for place in path.absolute().parents if place.exists())
    if path.is_dir() or not there.is_dir() or not os.access(there, os.W_OK):
        raise ValueError(f"{option} must be a file that can be written. Received: {path}")
