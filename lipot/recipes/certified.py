"""Training for certified accuracy, with the settings found on training points held out."""

import contextlib
import pathlib
import tempfile
import time

import keras
import numpy as np

from lipot import callbacks as lipot_callbacks
from lipot import certificates, notices
from lipot.files import digest
from lipot.math.proportions import in_percent
from lipot.recipes.arguments import checked
from lipot.recipes.certified_choices import ARCHITECTURES, LOSSES, Candidate, candidates
from lipot.recipes.defaults import default_radius
from lipot.recipes.halving import rung_sizes, successive_halving
from lipot.recipes.progress import Journal, claim, locked

# Of the time; at least half of it is left to the training.
_SEARCH_SHARE = 0.25
# A trial of less says little, and takes some seconds more to compile.
_LEAST_SECONDS = 15.0
_WARMUP = 0.02
# Images this large are moved by up to a pixel at each step.
_MOVED_FROM = 16


@checked
def train_certified(
    data,
    *,
    eps=None,
    minutes=10.0,
    folder=None,
    batch_size=128,
    seed=0,
    choices=None,
    callbacks=(),
    verbose=0,
):
    """Searches for a loss, an architecture and a learning rate, then trains for an l2 radius.

    A quarter of the time goes into successive halving: each candidate trains on most of the
    training points for a short time, with the learning rate going down to zero in it, and is scored
    by its certified accuracy at `eps` on the others. The best then trains on all training points.
    Test points are never looked at.

    Args:
        data: A `lipot.datasets.Dataset` with classes.
        eps: Positive float, the l2 radius, in the units of the inputs; `default_radius` where it is
            `None`.
        minutes: Positive float, wall-clock minutes for search and training. Trials that take
            longer than a quarter, as they compile and certify, leave at least half for training.
            In less than five minutes nothing is searched.
        folder: Where to keep each finished trial and epoch: a training that was stopped goes on
            when it is called again with the same folder and arguments. `None` keeps nothing.
        batch_size: Positive int, points in one step.
        seed: Int, of the points held out, the weights and the order of the candidates.
        choices: List of `Candidate`, to try these alone; with a single one nothing is searched.
        callbacks: Keras callbacks of the last training.
        verbose: As in `keras.Model.fit`; where it is not 0, trials are printed.

    Returns:
        The trained classifier, whose outputs are logits.

    Raises:
        ValueError: `data` is a regression, or `folder` is that of another training, on other points
            too, or of one that still runs.
    """
    eps, minutes = float(default_radius(data) if eps is None else eps), float(minutes)
    if choices is None:
        choices = affordable(candidates(data.x_train.shape[1:], seed), minutes)
    settings = {"eps": eps, "minutes": minutes, "batch_size": batch_size, "seed": seed}
    settings |= {"choices": [list(choice) for choice in choices]}
    settings |= {"data": digest(data.x_train, data.y_train)}
    with _kept(folder) as path, locked(path):
        claim(path, settings)
        search = _Search(data, eps, batch_size, seed, verbose, Journal(path / "trials.jsonl"))
        best = search.best(choices, _SEARCH_SHARE * minutes)
        left = max(minutes - search.minutes, 0.5 * minutes)
        if verbose:
            print(f"Training for {left:.3g} minutes, however many epochs: {best}", flush=True)
        keras.utils.set_random_seed(seed)
        trial = _Trial(data, best, eps, left)
        trial.compile_step(data, batch_size)
        backup = lipot_callbacks.Backup(path / "epochs", [trial.budget])
        trial.fit(data, batch_size, [backup, *callbacks], verbose)
        return trial.network


def affordable(choices, minutes):
    """The first of some candidates, as many as can be tried in a training of some minutes.

    In less than five not even two can: then the first alone, and nothing is searched.

    Example:

    >>> [len(affordable(list(range(64)), minutes)) for minutes in (0.5, 10, 60, 600)]
    [1, 4, 24, 64]
    """
    # Two to three rungs share the time of the search.
    count = int(_SEARCH_SHARE * 60.0 * minutes / (2.5 * _LEAST_SECONDS))
    return choices[: max(1, count)]


class _Trial:
    """A candidate, built and compiled, with the clock that its training follows."""

    def __init__(self, data, candidate, eps, minutes):
        shape = data.x_train.shape[1:]
        architecture = ARCHITECTURES[candidate.architecture]
        self.network = architecture.build(shape, len(data.classes))
        # What moves the images stands outside: the network itself is certified and saved.
        parts = [keras.Input(shape), *_augmentation(shape), self.network]
        self.model = keras.Sequential(parts)
        goal = LOSSES[candidate.loss](eps, candidate.sharpness, self.network.layers[-1])
        self.budget = lipot_callbacks.TimeBudget(
            minutes, candidate.learning_rate, _WARMUP, goal.loss_params
        )
        # The rate is the budget's; the one before, of a step that compiles, moves nothing.
        self.model.compile(architecture.optimizer(0.0), goal.loss, metrics=["accuracy"])

    def compile_step(self, data, batch_size):
        """One step without a rate, so that the clock does not count how long it compiles."""
        few = slice(batch_size)
        x, y = data.x_train[few], data.y_train_onehot[few]
        self.model.fit(x, y, batch_size=batch_size, verbose=0)

    def fit(self, data, batch_size, more, verbose):
        """Trains until the time is up."""
        stop = keras.callbacks.TerminateOnNaN()
        self.model.fit(
            data.x_train,
            data.y_train_onehot,
            batch_size=batch_size,
            epochs=10**6,
            callbacks=[self.budget, stop, *more],
            verbose=verbose,
        )

    def score(self, x, y, eps):
        """Certified accuracy; -1, below that of any other, for a network that diverged."""
        finite = [np.all(np.isfinite(weight)) for weight in self.network.get_weights()]
        return certificates.certify(self.network, x, y).accuracy(eps) if all(finite) else -1.0


class _Search:
    """Trials on points held out from the training points, each kept in a journal."""

    def __init__(self, data, eps, batch_size, seed, verbose, journal):
        order = np.random.default_rng(seed).permutation(len(data.x_train))
        held_out = min(5000, max(1, len(order) // 6))
        kept, held = order[held_out:], order[:held_out]
        self._data = data._replace(x_train=data.x_train[kept], y_train=data.y_train[kept])
        self._held_out = data.x_train[held], data.y_train[held]
        self._eps, self._batch_size, self._seed = eps, batch_size, seed
        self._verbose, self._journal = verbose, journal

    @property
    def minutes(self):
        """What all trials took, compilation and certificates included."""
        return sum(line["seconds"] for line in self._journal.lines) / 60.0

    def best(self, choices, minutes):
        """The best candidate, found in some minutes of training."""
        if len(choices) == 1:
            return choices[0]
        sizes = rung_sizes(len(choices))
        rung_minutes = [minutes / len(sizes) / size for size in sizes]
        best = successive_halving(
            choices, lambda rung, choice: self._score(rung, choice, rung_minutes[rung])
        )
        if all(line["score"] <= 0.0 for line in self._journal.lines):
            notices.warn(
                f"None of the {len(choices)} candidates proved anything at eps={self._eps:.3g} in "
                "its short trial, so that the choice says nothing. Give more minutes, or a smaller "
                "eps.",
            )
        return best

    def _score(self, rung, candidate, minutes):
        for line in self._journal.lines:
            if line["rung"] == rung and Candidate(*line["candidate"]) == candidate:
                return line["score"]
        began = time.monotonic()
        keras.utils.set_random_seed(self._seed)
        trial = _Trial(self._data, candidate, self._eps, minutes)
        trial.compile_step(self._data, self._batch_size)
        trial.fit(self._data, self._batch_size, [], verbose=0)
        score = trial.score(*self._held_out, self._eps)
        seconds = time.monotonic() - began
        if self._verbose:
            shown = f"{in_percent(score)} % certified" if score >= 0.0 else "diverged"
            print(f"Rung {rung + 1}: {candidate}: {shown}, {seconds:.0f} s", flush=True)
        line = {"rung": rung, "candidate": list(candidate), "score": score, "seconds": seconds}
        self._journal.add(line)
        return score


def _augmentation(shape):
    if len(shape) != 3 or min(shape[:2]) < _MOVED_FROM:
        return []
    pixel = 1.0 / shape[0], 1.0 / shape[1]
    move = keras.layers.RandomTranslation(
        *pixel, fill_mode="constant", interpolation="nearest", seed=0
    )
    return [move]


@contextlib.contextmanager
def _kept(folder):
    """The folder as a path, or a temporary one where it is `None`."""
    if folder is not None:
        yield pathlib.Path(folder)
        return
    with tempfile.TemporaryDirectory() as forgotten:
        yield pathlib.Path(forgotten)
