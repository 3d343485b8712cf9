"""`lipot train`: from a data set and the name of a method to a saved model."""

import argparse
import contextlib
import inspect
import pathlib
import shlex
import shutil
import sys

from lipot_cli.certify import print_certificate
from lipot_cli.options import (
    DATA_SETS,
    RADII,
    Misuse,
    check_folder,
    check_output,
    nonnegative_float,
    positive_float,
    positive_int,
    seed,
    weight_or_infinity,
)

# Those of lipot.recipes, whose import takes seconds.
METHODS = (
    *("hkr", "certified", "fgsm-at", "pgd-at", "got-trades-lm"),
    *("otjr", "ot-classifier", "otad", "linf-dist"),
)
# Those that train against l-infinity, or prove in it.
_LINF = ("fgsm-at", "pgd-at", "got-trades-lm", "otjr", "linf-dist")
_EPOCHS = 30
# Those that have a default in the recipe; not every method takes every one.
_OPTIONS = ("batch_size", "learning_rate", "alpha", "margin", "eps", "weight", "smoothness")
# Those that matter after the training alone: one that goes on may have others.
_AFTERWARDS = {"smoothness"}
# What --OPTION is called in a recipe, where that is not the same.
_ARGUMENTS = {"margin": "min_margin"}
_DATA_HELP = (
    ", ".join(DATA_SETS)
    + "; or an .npz file with arrays x_train, y_train, x_test and y_test, or x and y"
)
_METHOD_HELP = "one of those listed below (default: hkr)"
_ITS_OWN = "(default: the method's own)"
_METHODS = """methods:
  hkr            1-Lipschitz network with the hinge-KR loss: proven l2 radii (--alpha, --margin)
  certified      1-Lipschitz network for proven accuracy at one l2 radius; finds loss, architecture
                 and learning rate itself, on training points held out (--eps, --minutes)
  fgsm-at        adversarial training on one gradient step from a random start (--eps)
  pgd-at         adversarial training on ten steps of projected gradient (--eps)
  got-trades-lm  TRADES with optimal transport within each label (--eps)
  otjr           adversarial training with sliced Wasserstein distance and Jacobian regularizer
                 (--eps)
  ot-classifier  classifier of codes that a critic keeps near a normal prior (--weight)
  otad           residual network, whose answers convex integration interpolates between near
                 training points (--smoothness)
  linf-dist      network of l-infinity distances: proven l-infinity radii (--eps)

The spread of points is their root mean squared distance from their mean. An option of another
method is an error. The model of fgsm-at, pgd-at, got-trades-lm, otjr and ot-classifier is made of
stock Keras layers; loading that of the others needs `import lipot`.

A training that was stopped goes on with --resume: each epoch, and each trial of certified, is kept
in a folder beside the model until the model is saved, model.training for model.keras."""


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
    add("--method", choices=METHODS, metavar="METHOD", default="hkr", help=_METHOD_HELP)
    add("--data", default="digits", help=f"data set, one of: {_DATA_HELP} (default: digits)")
    add("--batch-size", type=positive_int, metavar="N", help=f"points in one step {_ITS_OWN}")
    add("--learning-rate", type=positive_float, metavar="RATE", help=f"rate at first {_ITS_OWN}")
    add(
        "--seed", type=seed, default=0, metavar="N", help="seed of weights and batches (default: 0)"
    )
    add(
        "--out",
        default="model.keras",
        metavar="FILE",
        help="where to save the trained model (default: model.keras)",
    )
    add(
        "--devices",
        type=positive_int,
        metavar="N",
        help="devices of TensorFlow that share each batch (default: the first alone)",
    )
    add("--resume", action="store_true", help="go on with a training that was stopped")
    _add_those_of_some_methods(command.add_argument_group("options of some methods"))
    command.set_defaults(run=_run, how_to_go_on=_how_to_go_on)


def _add_those_of_some_methods(group):
    add = group.add_argument
    add(
        "--epochs",
        type=positive_int,
        metavar="N",
        help=f"passes over the training points, of all but certified (default: {_EPOCHS})",
    )
    add(
        "--minutes",
        type=positive_float,
        help="wall-clock time of search and training, of certified (default: 10)",
    )
    add(
        "--eps",
        type=positive_float,
        metavar="RADIUS",
        help="radius to train for (default of certified, in l2: a tenth of the spread of the "
        "points; of the others, in l-infinity: a tenth of the range, 8/255 of it for colour "
        "images, a tenth of the standard deviation for tables)",
    )
    add(
        "--alpha",
        type=weight_or_infinity,
        help="weight of the hinge of hkr: larger is more accurate (default: 20)",
    )
    add(
        "--margin",
        type=nonnegative_float,
        help="margin of the hinge of hkr, an l2 distance of inputs (default: 0.3 of the spread of "
        "the points)",
    )
    add(
        "--weight",
        type=nonnegative_float,
        help="weight of the codes' distance from the prior in ot-classifier (default: 0.01)",
    )
    add(
        "--smoothness",
        type=positive_float,
        metavar="L",
        help="Lipschitz constant of the map that otad interpolates with (default: 2)",
    )


def _how_to_go_on(options):
    kept = _kept(_folder(options))
    if not kept:
        return "Nothing was finished that could be kept: start it again; fewer --epochs end sooner."
    return f"The same command with --resume goes on after {kept}."


def _folder(options):
    """Where a training keeps what it has done, until its model is saved."""
    return pathlib.Path(options.out).with_suffix(".training")


def _kept(folder):
    """What a folder keeps of a training, in words, or `None`."""
    epochs = [int(path.name.partition("-")[2]) for path in folder.glob("**/epoch-*")]
    if epochs:
        return f"epoch {max(epochs)}"
    count = sum(file.read_text().count("\n") for file in folder.glob("**/trials.jsonl"))
    return f"{count} trial{'s' if count > 1 else ''}" if count else None


@contextlib.contextmanager
def _claimed(options, data):
    """The folder of a training, made or found to be the one to go on with."""
    from lipot.files import digest
    from lipot.recipes.progress import claim, locked

    folder = _folder(options)
    with locked(folder):
        kept = _kept(folder)
        if kept and not options.resume:
            raise ValueError(
                f"{folder} keeps a training that was stopped after {kept}. Add --resume to go on "
                "with it, or delete the folder to start anew."
            )
        told = ("method", "data", "epochs", "minutes", *_OPTIONS, "seed")
        settings = {name: getattr(options, name) for name in told if name not in _AFTERWARDS}
        claim(folder, {**settings, "points": digest(data.x_train, data.y_train)})
        try:
            yield folder
        finally:
            if not _kept(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _run(options):
    check_output("--out", options.out, ".keras")
    check_folder("The place of what is kept beside --out", _folder(options))
    import keras

    from lipot import recipes
    from lipot_cli.training_data import read_dataset

    recipe = recipes.METHODS[options.method]
    settings = _settings(options, recipe)
    _check_devices(options, recipe)
    data = read_dataset(options.data, options.seed)
    verbose = 1 if sys.stdout.isatty() else 2
    with _claimed(options, data) as folder, _shared(options.devices):
        keras.utils.set_random_seed(options.seed)
        model = recipe(data, verbose=verbose, **settings, **_keeping(recipe, folder))
        model.save(options.out)
        shutil.rmtree(folder)
    _report(options, model, data)


def _check_devices(options, recipe):
    """Raises where the devices cannot share a batch evenly, which Keras needs of the first one."""
    devices = options.devices
    size = options.batch_size or inspect.signature(recipe).parameters["batch_size"].default
    if devices is not None and size % devices:
        raise Misuse(
            f"--devices {devices} cannot share the batches of {size} points evenly. Expected a "
            f"divisor of {size}."
        )


def _shared(devices):
    """Scope in which a model is trained by so many devices."""
    from lipot import backend

    return contextlib.nullcontext() if devices in (None, 1) else backend.devices_scope(devices)


def _keeping(recipe, folder):
    """The arguments that have a recipe keep what it has done, in a folder."""
    from lipot.callbacks import Backup

    if "folder" in inspect.signature(recipe).parameters:
        return {"folder": folder / "recipe"}
    return {"callbacks": [Backup(folder)]}


def _report(options, model, data):
    """Prints where the model is, how accurate it is and what is proven of it."""
    import numpy as np
    from rich.console import Console

    from lipot import certify
    from lipot.math.proportions import in_percent
    from lipot_cli.training_data import parts_at_random

    console = Console(markup=False)
    console.print(f"Saved {options.out}", soft_wrap=True)
    predictions = np.argmax(model.predict(data.x_test, batch_size=256, verbose=0), axis=1)
    accuracy = in_percent(np.mean(predictions == data.y_test))
    console.print(f"Accuracy on {len(data.x_test)} test points: {accuracy} %", highlight=False)
    norm = "inf" if options.method in _LINF else 2
    try:
        certificate = certify(model, data.x_test, data.y_test, norm=norm)
        if options.method == "certified":
            line = _certified(certificate, options.eps, data)
            console.print(line, highlight=False, soft_wrap=True)
        print_certificate(console, model, certificate, RADII[norm])
    except ValueError as error:
        console.print(f"Nothing is proven: {error}", highlight=False)
    console.print(_evaluation(options, data), highlight=False, soft_wrap=True)
    if parts_at_random(options.data):
        console.print(
            f"It attacks the points trained on too: {options.data} does not say which ones are for "
            "testing. Arrays x_train, y_train, x_test and y_test do.",
            highlight=False,
            soft_wrap=True,
        )


def _evaluation(options, data):
    """What to type to attack what was trained."""
    from lipot_cli.points import range_option

    words = shlex.join(["lipot", "evaluate", options.out, options.data])
    if options.method in _LINF:
        words += " --norm inf"
    if data.clip_values is None:
        # Test points are attacked, and all points where a file does not part them.
        words += f" {range_option(data.x_train, data.x_test)}"
    return f"How robust it is: {words}"


def _certified(certificate, eps, data):
    """The certified accuracy at the radius that was trained for, with its confidence interval."""
    from lipot.math.norms import radius_name
    from lipot.math.proportions import in_words
    from lipot.recipes import default_radius

    eps = default_radius(data) if eps is None else eps
    percent, interval = in_words(certificate.accuracy(eps), len(certificate))
    return f"Certified at l2 {radius_name(eps)}: {percent}, 95 % confidence interval {interval}"


def _settings(options, recipe):
    """The options that were given, as arguments of the recipe."""
    known = inspect.signature(recipe).parameters
    settings = {}
    for option in ("epochs", "minutes", *_OPTIONS):
        value, argument = getattr(options, option), _ARGUMENTS.get(option, option)
        if value is None:
            continue
        if argument not in known:
            raise Misuse(
                f"--{option.replace('_', '-')} does not apply to --method {options.method}. "
                "See lipot train --help."
            )
        settings[argument] = value
    if "seed" in known:
        settings["seed"] = options.seed
    return {"epochs": _EPOCHS, **settings} if "epochs" in known else settings
