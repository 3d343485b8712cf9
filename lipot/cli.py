"""The command line: `lipot demo`, `lipot train`, `lipot certify`."""

import argparse
import pathlib
import sys

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import lipot
from lipot import datasets, recipes
from lipot.certify import certify, lipschitz_constant


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
    except (OSError, TypeError, ValueError) as error:
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
    _add_demo(commands)
    _add_train(commands)
    _add_certify(commands)
    return parser


def _add_demo(commands):
    command = commands.add_parser(
        "demo",
        help="train, certify and attack two small networks; about a minute",
        description="Trains a stock network and its 1-Lipschitz twin on the digits of "
        "scikit-learn, proves the accuracy of the second, attacks both and draws the outcome.",
    )
    command.add_argument("--out", default="demo-report", metavar="FOLDER", help="for the figures")
    command.set_defaults(run=_demo)


def _add_train(commands):
    command = commands.add_parser(
        "train",
        help="train a robust network on a data set and save it",
        description="Trains a network, prints its clean and its proven accuracy, and saves it.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument("--method", choices=sorted(recipes.METHODS), default="hkr", help="how")
    command.add_argument("--data", choices=datasets.names(), default="digits", help="on what")
    command.add_argument("--epochs", type=_positive_int, default=30, help="passes over the data")
    command.add_argument(
        "--alpha", type=float, default=20.0, help="weight of the hinge: larger is more accurate"
    )
    command.add_argument(
        "--margin",
        type=float,
        help="margin of the hinge in l2 units of the inputs; if not given, 0.3 of their spread",
    )
    command.add_argument("--seed", type=int, default=0, help="of the weights and the batches")
    command.add_argument("--out", default="model.keras", metavar="FILE", help="the trained model")
    command.set_defaults(run=_train)


def _add_certify(commands):
    command = commands.add_parser(
        "certify",
        help="prove how far inputs can move without changing a prediction",
        description="Prints the accuracy that no change of the inputs within an l2 radius can "
        "break. It is computed from the weights; nothing is attacked.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument("model", help="a .keras file")
    command.add_argument(
        "data",
        help="an .npz file with arrays x and y, or x_test and y_test, scaled as the model was "
        f"trained; or the test points of one of: {', '.join(datasets.names())}",
    )
    command.add_argument(
        "--eps", type=float, nargs="+", default=[0.25, 0.5, 1.0, 1.5], help="l2 radii"
    )
    command.add_argument("--limit", type=_positive_int, help="only the first so many points")
    command.set_defaults(run=_certify)


def _positive_int(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a positive integer, received {text}")
    return value


def _demo(options):
    # The attacks take a while to import: only this command waits for them.
    from lipot import demo

    demo.run(options.out)


def _train(options):
    if pathlib.Path(options.out).suffix != ".keras":
        raise ValueError(f"--out must end in .keras. Received: {options.out}")
    data = datasets.load(options.data)
    keras.utils.set_random_seed(options.seed)
    console = Console()
    model = recipes.METHODS[options.method](
        data,
        epochs=options.epochs,
        alpha=options.alpha,
        min_margin=options.margin,
        verbose=1 if sys.stdout.isatty() else 2,
    )
    pathlib.Path(options.out).parent.mkdir(parents=True, exist_ok=True)
    model.save(options.out)
    console.print(f"Saved {options.out}")
    _print_certificate(console, model, data.x_test, data.y_test, [0.25, 0.5, 1.0, 1.5])


def _certify(options):
    x, y = _read_points(options.data)
    if options.limit:
        x, y = x[: options.limit], y[: options.limit]
    model = keras.saving.load_model(options.model, compile=False)
    if x.shape[1:] != model.input_shape[1:]:
        raise ValueError(
            f"{options.data} does not fit {options.model}. Expected inputs of shape "
            f"{model.input_shape[1:]}. Received: {x.shape[1:]}"
        )
    _print_certificate(Console(), model, x, y, options.eps)


def _read_points(source):
    if source in datasets.names():
        data = datasets.load(source)
        return data.x_test, data.y_test
    if not pathlib.Path(source).is_file():
        raise ValueError(
            f"There is no file {source}. Expected an .npz file, or one of: "
            f"{', '.join(datasets.names())}"
        )
    with np.load(source, allow_pickle=False) as arrays:
        for keys in (("x", "y"), ("x_test", "y_test")):
            if set(keys) <= set(arrays.files):
                x, y = (arrays[key] for key in keys)
                break
        else:
            raise ValueError(
                f"{source} does not hold points and labels. Expected arrays x and y, or x_test "
                f"and y_test. Received: {', '.join(arrays.files) or 'none'}"
            )
    if not np.issubdtype(x.dtype, np.floating):
        raise ValueError(
            f"The inputs in {source} are not scaled. Expected floats, in the range the model was "
            f"trained on. Received: {x.dtype}"
        )
    return x.astype("float32"), y


def _print_certificate(console, model, x, y, radii):
    constant = lipschitz_constant(model)
    certificate = certify(model, x, y)
    console.print(f"Lipschitz constant, proven: {constant:.6g}", highlight=False)
    console.print(f"Accuracy on {len(x)} points that nothing within the radius can break:")
    table = Table()
    table.add_column("l2 radius", justify="right")
    table.add_column("accuracy", justify="right")
    for radius in [0.0, *sorted(set(radii) - {0.0})]:
        table.add_row(f"{radius:g}", f"{100 * certificate.accuracy(radius):.2f} %")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
