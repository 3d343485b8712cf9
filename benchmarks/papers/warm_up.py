"""Adversarial training whose radius grows, as the tables of papers share it.

A network that meets the whole radius at once stays at chance, or learns the corners of the ball and
little between, so the radius grows over the first seventh of the steps. Terms that compare clean
with attacked batches grow a little longer: before there are classes they cost least where all
logits are alike.
"""

from benchmarks.transport.recipes import EPS
from benchmarks.transport.training import train

# Up to a share of the steps: shares of the radius, and of the weights of all terms but the first.
PHASES = ((0.06, 1 / 3, 0.1), (0.15, 2 / 3, 0.25), (0.3, 1.0, 0.5), (1.0, 1.0, 1.0))


def train_with_warm_up(model, data, steps, run):
    """Trains a compiled model; a training that was cut off goes on.

    Args:
        model: Compiled model with an `attack` or `None`, and perhaps with `terms`.
        data: The `Dataset`.
        steps: Steps of the whole training.
        run: The `Run` of the row.

    Returns:
        The last logs.
    """
    logs = {}
    for until in phases(model):
        last = train(
            model,
            data.x_train,
            data.y_train,
            steps=int(until * steps),
            batch_size=run.settings["batch_size"],
            seed=run.seed,
            folder=run.folder / "training",
            after=run.checkpoint,
        )
        logs = last or logs
    return logs


def phases(model, eps=EPS):
    """Sets radius and weights for one part of the training after the other.

    Args:
        model: Compiled model.
        eps: The radius at the end.

    Yields:
        Up to which share of the steps to train before the next part.
    """
    terms = getattr(model, "terms", ())
    attack = getattr(model, "attack", None)
    weights = [float(term.weight) for term in terms]
    for until, share, of_terms in PHASES:
        if attack is not None:
            attack.eps, attack.step_size = share * eps, share * 2.5 * eps / attack.steps
        for term, weight in zip(terms[1:], weights[1:]):
            term.weight = of_terms * weight
        # The step is compiled with the numbers above.
        model.make_train_function(force=True)
        yield until
