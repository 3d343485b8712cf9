"""The command line: `lipot demo`, `train`, `certify`, `evaluate` and `report`.

It stands beside lipot, not in it, and its commands import late: lipot brings Keras and its
framework, which take seconds, and neither help nor a wrong option should wait for them.
"""

import argparse
import importlib.metadata
import sys

from lipot_cli import certify, demo, evaluate, report, train
from lipot_cli.options import Misuse, Parser

# What a shell says of a command that Ctrl-C ended: 128 and the number of the signal.
_INTERRUPTED = 130


def main(arguments=None):
    """Runs one command.

    Args:
        arguments: List of words after `lipot`; those of the process by default.

    Returns:
        0; 1 after an error, 2 where it lies in the options themselves, and 130 after Ctrl-C; each
        told on one line.
    """
    options = None
    try:
        options = _parser().parse_args(arguments)
        _run(options)
    except KeyboardInterrupt:
        # A terminal has just shown ^C, or half a progress bar.
        start = "\n" if sys.stderr.isatty() else ""
        print(f"{start}lipot: stopped. {_how_to_go_on(options)}", file=sys.stderr)
        return _INTERRUPTED
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        print(f"lipot: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, Misuse) else 1
    return 0


def _run(options):
    try:
        options.run(options)
    except ModuleNotFoundError:
        from lipot import extras

        with extras.named():
            raise


def _how_to_go_on(options):
    return getattr(options, "how_to_go_on", _start_again)(options)


def _start_again(_):
    return "Start it again."


def _parser():
    parser = Parser(
        prog="lipot",
        description="Robust classifiers: train them, prove how far their inputs may change, attack "
        "them.",
        epilog="Start with `lipot demo`. `lipot COMMAND --help` explains a command.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (demo, train, certify, evaluate, report):
        command.add_to(commands)
    return parser


class _Version(argparse.Action):
    """Reads the version where it is installed, so that nothing of lipot is imported for it."""

    def __call__(self, parser, *_):
        print(f"lipot {importlib.metadata.version('lipot')}")
        parser.exit()
