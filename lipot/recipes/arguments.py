"""What the arguments of the recipes may be: told before anything is built or trained."""

import functools

import keras

from lipot import checks
from lipot.datasets.dataset import Dataset
from lipot.recipes.certified_choices import ARCHITECTURES, LOSSES, Candidate


def checked(recipe):
    """Makes a recipe check its arguments first, each by its name, as `CHECKS` says.

    A regression is refused, and a network or a choice that does not fit the data.

    Args:
        recipe: Function of a `Dataset` and keyword-only arguments.

    Returns:
        The same function with its checks.
    """

    @checks.checked(CHECKS)
    @functools.wraps(recipe)
    def run(data, **arguments):
        if arguments.get("network") is not None:
            _check_fits(arguments["network"], data)
        for choice in arguments.get("choices") or ():
            _check_choice(choice, data)
        return recipe(data, **arguments)

    return run


def _data(name, value):
    checks.instance(name, value, Dataset, "a lipot.datasets.Dataset")
    if not value.classes:
        raise ValueError(f"`{value.name}` is a regression: it has no classes to tell apart.")
    return value


def _folder(name, value):
    return checks.folder(name, value, "the path of a folder, or None")


def _callbacks(name, value):
    callback = keras.callbacks.Callback
    if not isinstance(value, list | tuple) or not all(isinstance(c, callback) for c in value):
        raise checks.invalid(name, "a list of Keras callbacks", value)
    return value


def _verbose(name, value):
    return checks.choice(name, value, ("auto", 0, 1, 2))


def _choices(name, value):
    known = isinstance(value, list | tuple) and all(
        isinstance(c, Candidate) and c.architecture in ARCHITECTURES and c.loss in LOSSES
        for c in value
    )
    if not known or not value:
        raise checks.invalid(
            name, f"a list of Candidates of {[*ARCHITECTURES]} and {[*LOSSES]}", value
        )
    return value


def _check_fits(network, data):
    shape, classes = data.x_train.shape[1:], len(data.classes)
    inputs, outputs = network.input_shape, network.output_shape
    # What has several inputs or outputs states a list of shapes.
    if not (checks.fits(inputs[1:], shape) and tuple(outputs[1:]) == (classes,)):
        raise checks.refused(
            "network",
            f"inputs of shape {shape} and {classes} outputs, as `{data.name}` has",
            f"'{network.name}' from {inputs} to {outputs}",
        )


def _check_choice(choice, data):
    shape = data.x_train.shape[1:]
    if not ARCHITECTURES[choice.architecture].fits(shape):
        fitting = [name for name, known in ARCHITECTURES.items() if known.fits(shape)]
        raise checks.refused(
            "choices",
            f"architectures for inputs of shape {shape}, as `{data.name}` has: {fitting}",
            f"{choice.architecture!r}",
        )


CHECKS = {
    "data": _data,
    "epochs": checks.positive_int,
    "minutes": checks.positive_float,
    "batch_size": checks.positive_int,
    "learning_rate": checks.positive_float,
    "eps": checks.positive_float,
    "steps": checks.positive_int,
    "alpha": functools.partial(checks.nonnegative_float, infinite=True),
    "min_margin": checks.nonnegative_float,
    "weight": checks.nonnegative_float,
    "smoothness": checks.positive_float,
    "neighbors": checks.positive_int,
    "code_size": checks.positive_int,
    "width": checks.positive_int,
    "depth": checks.positive_int,
    "network": checks.built_model,
    "folder": _folder,
    "seed": checks.seed,
    "choices": _choices,
    "callbacks": _callbacks,
    "verbose": _verbose,
}
