"""The command line: `lipot demo`, `train`, `certify`, `evaluate` and `report`."""

import argparse
import sys

import lipot
from lipot.cli import certify, demo, evaluate, report, train


def main(arguments=None):
    """Runs one command.

    Args:
        arguments: List of words after `lipot`; those of the process by default.

    Returns:
        0, or 1 after an error, which is printed on one line.
    """
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        print(f"lipot: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="lipot",
        description="Classifiers that stay right when their input is pushed, and the proof.",
        epilog="Start with `lipot demo`. Each command explains itself: lipot train --help.",
    )
    parser.add_argument("--version", action="version", version=f"lipot {lipot.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (demo, train, certify, evaluate, report):
        command.add_to(commands)
    return parser
