"""AutoAttack: parameter-free attacks, each on the points the others left."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

from lipot import checks
from lipot.attacks.auto_attack.apgd import APGD
from lipot.attacks.auto_attack.fab import FAB
from lipot.attacks.auto_attack.progress import Progress
from lipot.attacks.auto_attack.sequence import Search, run_in_turn
from lipot.attacks.auto_attack.square import SquareInf, SquareL2
from lipot.attacks.auto_attack.victim import OUTPUTS, Victim, check_logits
from lipot.attacks.ball import LEAST_MEASURED, Ball, check_ball, warn_about_units
from lipot.math.divergences import crossentropy
from lipot.math.logits_ratio import difference_logits_ratio, targeted_logits_ratio
from lipot.progress import Bar, Silence

_TARGETS = 9


def _crossentropy(y, target, logits):
    return crossentropy(y, logits)


def _logits_ratio(y, target, logits):
    return difference_logits_ratio(y, logits)


class _Settings(NamedTuple):
    """What the programs of an attack depend on beside the model: everything but eps and seed."""

    ball: Ball
    point_shape: tuple
    steps: int
    queries: int
    batch_size: int


def _apgd(loss):
    def build(victim, settings):
        steps, batch_size = settings.steps, settings.batch_size
        return APGD(victim, settings.ball, loss, steps=steps, batch_size=batch_size)

    return build


def _fab(victim, settings):
    return FAB(victim, settings.ball, steps=settings.steps, batch_size=settings.batch_size)


def _square(victim, settings):
    square = SquareInf if settings.ball.norm == "inf" else SquareL2
    return square(
        victim,
        settings.ball,
        settings.point_shape,
        queries=settings.queries,
        batch_size=settings.batch_size,
    )


def _once(classes, restarts):
    return 1


def _from_random_starts(classes, restarts):
    return restarts


def _at_targets(classes, restarts):
    return min(_TARGETS, classes - 1)


class _Kind(NamedTuple):
    """How an attack is made, how often it runs, and its calls of the model in one run.

    A gradient costs as much as two calls more.
    """

    build: Callable
    runs: Callable
    calls: Callable


_KINDS = {
    "apgd-ce": _Kind(
        _apgd(_crossentropy), _from_random_starts, lambda settings: 3 * settings.steps
    ),
    "apgd-dlr": _Kind(
        _apgd(_logits_ratio), _from_random_starts, lambda settings: 3 * settings.steps
    ),
    "apgd-t": _Kind(_apgd(targeted_logits_ratio), _at_targets, lambda settings: 3 * settings.steps),
    "fab-t": _Kind(_fab, _at_targets, lambda settings: 4 * settings.steps),
    "square": _Kind(_square, _once, lambda settings: settings.queries),
}

# The standard version, and after its first attack the cheapest of those that it leaves out.
_ATTACKS = ("apgd-ce", "apgd-dlr", "apgd-t", "fab-t", "square")


@keras.saving.register_keras_serializable(package="lipot")
class AutoAttack:
    """AutoAttack in its standard version, and one attack more, compiled with the model.

    | name       | what it does                                                              |
    |------------|---------------------------------------------------------------------------|
    | `apgd-ce`  | Auto-PGD on the cross-entropy                                             |
    | `apgd-dlr` | Auto-PGD on the logits ratio, not in the standard version                 |
    | `apgd-t`   | Auto-PGD on the targeted logits ratio, for the nine likeliest classes     |
    | `fab-t`    | FAB, a search along the decision boundary, for the same classes           |
    | `square`   | Square, a random search that needs no gradient                            |

    `"apgd-dlr"` costs a ninth of `"apgd-t"` and breaks points of 1-Lipschitz networks that the
    others leave. Each attack runs on the points that still stand. A point counts as broken where
    `model.predict` misclassifies what was found. Models of two or three classes have fewer
    targets, and a logits ratio with a simpler denominator (see `lipot.math.logits_ratio`).

    Args:
        eps: Positive float, radius of the ball.
        norm: `"inf"` or 2.
        steps: Positive int, steps of each gradient attack.
        queries: Positive int, queries of Square.
        restarts: Positive int, random starts of `apgd-ce` and `apgd-dlr`, each on the points that
            the last one left. The standard version has one.
        attacks: Names from the table, in the order they run.
        clip_min: Float, smallest value of the data, or `None`.
        clip_max: Float, largest value of the data, or `None`.
        batch_size: Positive int, points of one call of the model.
        outputs: `"auto"` to refuse a model that seems to return probabilities, `"logits"` to
            take what it returns for logits.
        seed: Integer.

    Reference:
        Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of
        diverse parameter-free attacks", 2020.

    Example:

    >>> import keras, numpy as np
    >>> from lipot.attacks import AutoAttack
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> x = np.random.default_rng(0).uniform(size=(5, 4)).astype("float32")
    >>> y = model.predict(x, verbose=0).argmax(axis=1)
    >>> result = AutoAttack(eps=0.5, steps=10, queries=20).run(model, x, y)
    >>> predictions = model.predict(result.x_adv, verbose=0).argmax(axis=1)
    >>> bool(np.all((predictions == y) == result.stands))
    True
    """

    def __init__(
        self,
        eps,
        norm="inf",
        *,
        steps=100,
        queries=5000,
        restarts=1,
        attacks=_ATTACKS,
        clip_min=0.0,
        clip_max=1.0,
        batch_size=256,
        outputs="auto",
        seed=0,
    ):
        self.eps = checks.positive_float("eps", eps)
        self.norm, self.clip_min, self.clip_max = check_ball(norm, clip_min, clip_max)
        warn_about_units(self.eps, *self._ball, LEAST_MEASURED)
        self.steps = checks.positive_int("steps", steps)
        self.queries = checks.positive_int("queries", queries)
        self.restarts = checks.positive_int("restarts", restarts)
        self.attacks = _check_attacks(attacks)
        self.batch_size = checks.positive_int("batch_size", batch_size)
        self.outputs = checks.choice("outputs", outputs, OUTPUTS)
        self.seed = checks.seed("seed", seed)
        self._victim = None

    def generate(self, model, x, y, *, verbose=False):
        """Returns adversarial examples; see `run`, of whose record they are the first field."""
        return self.run(model, x, y, verbose=verbose).x_adv

    def run(self, model, x, y, *, verbose=False):
        """Attacks every point that is classified rightly.

        Args:
            model: Built Keras model that returns logits `(batch, classes)`, or one value a
                point, whose sign is then the class; or the `Victim` that several attacks share.
                What was compiled for a model is kept until the attack meets another one.
            x: Points `(n, ...)` in the data range.
            y: Integer labels `(n,)` or `(n, 1)`, or one-hot labels `(n, classes)`.
            verbose: Whether to show which attack runs and the time left.

        Returns:
            An `AutoAttackResult`.
        """
        x = self._check_points(x)
        victim = self._victim_of(model)
        logits = victim.logits(x)
        check_logits(victim.model, logits, self.outputs)
        y = checks.labels(y, *logits.shape).astype("int32")
        settings = _Settings(self._ball, x.shape[1:], self.steps, self.queries, self.batch_size)
        searches = [self._search(name, victim, settings, logits.shape[1]) for name in self.attacks]
        with Bar("AutoAttack") if verbose else Silence() as bar:
            progress = Progress({search.name: search.calls for search in searches}, bar)
            how = {"batch_size": self.batch_size, "seed": self.seed, "progress": progress}
            return run_in_turn(victim, searches, x, y, logits, **how)

    @property
    def _ball(self):
        return Ball(self.norm, self.clip_min, self.clip_max)

    def _victim_of(self, model):
        if isinstance(model, Victim):
            return model
        if self._victim is None or self._victim.model is not model:
            self._victim = Victim(model)
        return self._victim

    def _search(self, name, victim, settings, classes):
        kind = _KINDS[name]
        runs = kind.runs(classes, self.restarts)
        compiled = victim.search((name, settings), lambda: kind.build(victim, settings))
        search = functools.partial(compiled.search, eps=self.eps)
        return Search(name, search, runs, kind.calls(settings) * runs)

    def _check_points(self, x):
        x = np.asarray(x, "float32")
        if x.ndim < 2 or not len(x) or not np.all(np.isfinite(x)):
            unlike = ", with NaN or infinite values" if x.size else ""
            expected = "one finite point or more, of shape (n, ...)"
            raise checks.refused("x", expected, f"shape {x.shape}{unlike}")
        self._ball.check_range(x)
        # What rounding has put beside the range has no attacked points around it.
        return np.clip(x, self.clip_min, self.clip_max)

    def get_config(self):
        return {
            "eps": self.eps,
            "norm": self.norm,
            "steps": self.steps,
            "queries": self.queries,
            "restarts": self.restarts,
            "attacks": list(self.attacks),
            "clip_min": self.clip_min,
            "clip_max": self.clip_max,
            "batch_size": self.batch_size,
            "outputs": self.outputs,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        """Builds the attack that `get_config` described."""
        return cls(**config)


def _check_attacks(attacks):
    listed = isinstance(attacks, list | tuple)
    names = tuple(attacks) if listed else (attacks,)
    if (
        not names
        or not all(isinstance(name, str) for name in names)
        or len(set(names)) < len(names)
        or not set(names) <= set(_KINDS)
    ):
        raise checks.invalid("attacks", f"different names among {', '.join(_KINDS)}", attacks)
    return names
