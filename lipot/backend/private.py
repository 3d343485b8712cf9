"""Attributes that Keras keeps private, or an error that says what to do where one has moved."""

from typing import Any

import keras


def inside(owner: Any, name: str) -> Any:
    """The attribute of a name that is private to Keras, or whose place is.

    Args:
        owner: An object of Keras.
        name: Name of the attribute.

    Raises:
        NotImplementedError: This version of Keras has no such attribute there.
    """
    try:
        return getattr(owner, name)
    except AttributeError as error:
        raise NotImplementedError(
            f"Keras {keras.__version__} has no `{name}` in its {type(owner).__name__}, and lipot "
            "needs it. Install a version of Keras that lipot was tested with; whoever develops "
            "lipot finds all such names in lipot/backend/keras_graph.py."
        ) from error
