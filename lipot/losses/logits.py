"""What a model must return where a loss reads logits."""

from lipot.backend.keras_graph import final_squashing


def check_returns_logits(name, model):
    """Raises where a model shows that it ends in probabilities.

    Args:
        name: Name of the argument.
        model: Keras model that was given for it.
    """
    squashing = final_squashing(model)
    if squashing is not None:
        raise ValueError(
            f"Invalid value received for argument `{name}`. Expected a model that returns logits. "
            f"Received: at its end {squashing}"
        )
