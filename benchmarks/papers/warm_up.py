"""Adversarial training whose radius grows, as the tables of papers share it.

A network that meets the whole radius at once stays at chance, or learns the corners of the ball and
little between, so the radius grows over the first seventh of the steps. Terms that compare clean
with attacked batches come after that: before there are classes they cost least where all logits are
alike, and a tenth of GOT's weight already keeps the network there. So does MART's divergence, which
counts in full where a class is not learned yet: whole classes never were. TRADES needs no delay.
"""

from benchmarks.transport.recipes import PHASES
from benchmarks.transport.training import train
from lipot.losses import MART


def train_with_warm_up(model, data, steps, run, parts=PHASES, **kwargs):
    """Trains a compiled model; a training that was cut off goes on.

    Args:
        model: Compiled model, perhaps with an `attack` and with `terms`.
        data: The `Dataset`.
        steps: Steps of the whole training.
        run: The `Run` of the row.
        parts: As `PHASES`, how radius and weights grow.
        **kwargs: Further arguments of `train`.

    Returns:
        The last logs.
    """
    logs = {}
    for until in phases(model, parts):
        last = train(
            model,
            data.x_train,
            data.y_train,
            steps=int(until * steps),
            batch_size=run.settings["batch_size"],
            seed=run.seed,
            folder=run.folder / "training",
            after=run.checkpoint,
            **kwargs,
        )
        logs = last or logs
    return logs


def phases(model, parts=PHASES):
    """Sets radius, weights and MART's factor for one part of the training after the other.

    Args:
        model: The model.
        parts: As `PHASES`.

    Yields:
        Up to which share of the steps to train before the next part.
    """
    terms, attack = getattr(model, "terms", ()), getattr(model, "attack", None)
    grow = [(term, "weight") for term in terms[1:]]
    grow += [(term, "lambda_") for term in terms[:1] if isinstance(term, MART)]
    whole = [float(getattr(*place)) for place in grow]
    for until, share, of_terms in parts:
        if attack is not None:
            attack.share = share
        for place, value in zip(grow, whole):
            setattr(*place, of_terms * value)
        yield until
