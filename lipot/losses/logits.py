"""Logits: what a model must return where a loss reads them, and what must read them."""

import inspect

import keras

from lipot import checks
from lipot.backend.squashing import final_squashing


def check_returns_logits(name, model):
    """Raises where a model shows that it ends in probabilities.

    Args:
        name: Name of the argument.
        model: Keras model that was given for it.
    """
    squashing = final_squashing(model)
    if squashing is not None:
        raise checks.refused(name, "a model that returns logits", f"at its end {squashing}")


def check_reads_logits(name, loss):
    """Raises where a loss of Keras takes what it is given for probabilities.

    Args:
        name: Name of the argument.
        loss: A Keras loss, its name or its function; anything else passes.

    Example:

    >>> check_reads_logits("loss", keras.losses.CategoricalCrossentropy(from_logits=True))
    """
    found = keras.losses.get(loss) if isinstance(loss, str) else loss
    reads = getattr(found, "from_logits", None)
    if inspect.isfunction(found):
        argument = inspect.signature(found).parameters.get("from_logits")
        reads = None if argument is None else argument.default
    if reads is False:
        raise checks.refused(
            name,
            "a loss of logits, such as "
            "keras.losses.SparseCategoricalCrossentropy(from_logits=True)",
            f"{loss!r}, which reads them as probabilities",
        )
