"""`lipot train`: from a data set and the name of a method to a saved model."""

import argparse
import inspect
import pathlib
import sys

from lipot_cli.certify import RADII, print_certificate
from lipot_cli.options import DATA_SETS, check_output, positive_float, positive_int, seed

# Those of lipot.recipes, whose import takes seconds.
METHODS = ("hkr", "got-trades-lm", "otjr", "ot-classifier", "otad", "linf-dist")
# What --OPTION is called in a recipe, where that is not the same.
_ARGUMENTS = {"margin": "min_margin"}
_METHODS = """methods:
  hkr            1-Lipschitz network, hinge-KR loss: proven radii (--alpha, --margin)
  got-trades-lm  TRADES and transport within each label, against l-infinity attacks (--eps)
  otjr           adversarial training, sliced transport, Jacobian regularizer (--eps)
  ot-classifier  codes kept near a normal prior by a critic (--weight)
  otad           residual network answered by convex integration (--smoothness)
  linf-dist      l-infinity distances and nothing else: proven radii in l-infinity (--eps)

An option of another method is an error. The model of got-trades-lm, otjr and ot-classifier is
made of stock Keras layers; loading that of hkr, otad and linf-dist needs `import lipot`."""


def add_to(commands):
    """Adds the command."""
    command = commands.add_parser(
        "train",
        help="train a robust network on a data set and save it",
        description="Trains a network, saves it, and prints its clean and its proven accuracy.",
        epilog=_METHODS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = command.add_argument
    add("--method", choices=METHODS, default="hkr", help="how (default: hkr)")
    add("--data", choices=DATA_SETS, default="digits", help="on what (default: digits)")
    add("--epochs", type=positive_int, default=30, help="passes over the data (default: 30)")
    add("--alpha", type=float, help="weight of the hinge: larger is more accurate (default: 20)")
    add(
        "--margin",
        type=float,
        help="margin of the hinge in l2 units of the inputs (default: 0.3 of their spread)",
    )
    add("--eps", type=positive_float, help="radius trained against (default: a tenth of the range)")
    add("--weight", type=float, help="of the distance from the prior (default: 0.1)")
    add("--smoothness", type=float, help="L of the interpolating function (default: 2)")
    add("--seed", type=seed, default=0, help="of the weights and the batches (default: 0)")
    add("--out", default="model.keras", metavar="FILE", help="the trained model")
    command.set_defaults(run=_run, how_to_go_on=_how_to_go_on)


def _how_to_go_on(options):
    return "A training starts anew each time; fewer --epochs end sooner."


def _run(options):
    check_output("--out", options.out, ".keras")
    import keras
    import numpy as np
    from rich.console import Console

    from lipot import certify, datasets, recipes

    recipe = recipes.METHODS[options.method]
    settings = _settings(options, recipe)
    data = datasets.load(options.data)
    keras.utils.set_random_seed(options.seed)
    model = recipe(data, verbose=1 if sys.stdout.isatty() else 2, **settings)
    pathlib.Path(options.out).parent.mkdir(parents=True, exist_ok=True)
    model.save(options.out)
    console = Console(markup=False)
    console.print(f"Saved {options.out}", soft_wrap=True)
    predictions = np.argmax(model.predict(data.x_test, batch_size=256, verbose=0), axis=1)
    accuracy = 100 * np.mean(predictions == data.y_test)
    console.print(f"Accuracy on {len(data.x_test)} test points: {accuracy:.2f} %", highlight=False)
    norm = "inf" if options.method == "linf-dist" else 2
    try:
        certificate = certify(model, data.x_test, data.y_test, norm=norm)
        print_certificate(console, model, certificate, RADII[norm])
    except ValueError as error:
        console.print(f"Nothing is proven: {error}", highlight=False)
    hint = f"How robust it is: lipot evaluate {options.out} {options.data}"
    console.print(hint, highlight=False, soft_wrap=True)


def _settings(options, recipe):
    """The options that were given, as arguments of the recipe."""
    known = inspect.signature(recipe).parameters
    settings = {"epochs": options.epochs}
    for option in ("alpha", "margin", "eps", "weight", "smoothness"):
        value, argument = getattr(options, option), _ARGUMENTS.get(option, option)
        if value is None:
            continue
        if argument not in known:
            raise ValueError(
                f"--{option} does not apply to --method {options.method}. See lipot train --help."
            )
        settings[argument] = value
    return settings
