"""Whether a model is called as Keras calls one, so that its layers say what it computes."""

import keras

from lipot.backend.keras_graph import is_stock
from lipot.layers.layer_bounds import check_unreplaced, is_ours, overrides, replaced

# What trains, measures, stores and shows a model. A call does not come here.
_BESIDE_THE_CALL = {
    "compile",
    "compile_from_config",
    "compute_loss",
    "compute_metrics",
    "evaluate",
    "fit",
    "get_compile_config",
    "get_metrics_result",
    "loss",
    "make_test_function",
    "make_train_function",
    "metrics",
    "metrics_names",
    "reset_metrics",
    "save",
    "save_weights",
    "summary",
    "test_on_batch",
    "test_step",
    "train_on_batch",
    "train_step",
}


def is_called_as_keras_does(model_class):
    """Whether a class of models leaves alone all that a call of Keras's own can reach."""
    author = next(c for c in model_class.__mro__ if is_stock(c) or is_ours(c))
    return leaves_the_call_alone(model_class, author) and _calls_as_stock(author)


def leaves_the_call_alone(model_class, author):
    """Whether a class of models is `author`, or one below it that a call does not tell from it."""
    return issubclass(model_class, author) and not changes_of_the_call(model_class, author)


def changes_of_the_call(model_class, author):
    """Names that a class of models below `author` says anew and a call may reach, sorted."""
    return sorted(set(overrides(model_class, author)) - _BESIDE_THE_CALL)


def check_model(model):
    """Raises for a model whose call was replaced on the object itself."""
    check_unreplaced(model, _BESIDE_THE_CALL)


def runs_its_layers_in_turn(layer):
    """Whether a layer is a `keras.Sequential` that computes what its layers do, one after another.

    Example:

    >>> runs_its_layers_in_turn(keras.Sequential([keras.layers.ReLU()]))
    True
    """
    return (
        isinstance(layer, keras.Sequential)
        and is_called_as_keras_does(type(layer))
        and not set(replaced(layer)) - _BESIDE_THE_CALL
    )


def _calls_as_stock(model_class):
    authors = (
        next(c for c in model_class.__mro__ if name in vars(c)) for name in ("call", "__call__")
    )
    return all(map(is_stock, authors))
