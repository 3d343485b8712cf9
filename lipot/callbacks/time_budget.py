"""Training for a given time: the learning rate follows the clock."""

import math
import time

import keras
import numpy as np

from lipot import checks, notices
from lipot.callbacks.configurable import Configurable
from lipot.callbacks.loss_parameters import check_course, loss_parameter, read_course

# The optimizer is told of a change once it exceeds this share of the greatest rate: on JAX Keras
# attaches all weights to the model whenever a callback asks for the model between steps.
_RESOLUTION = 0.005


@keras.saving.register_keras_serializable(package="lipot")
class TimeBudget(Configurable):
    r"""Ends a training when its time is up; until then the learning rate follows the clock.

    After a share $s$ of the time the rate is

    $$ \eta \; \min\Bigl(1, \frac{s}{\texttt{warmup}}\Bigr) \; \frac{1 + \cos(\pi s)}{2} , $$

    a straight line up, then half a cosine down to zero. Give `fit` more epochs than fit in: the
    training ends with the batch in which the time is up. The clock runs while `fit` does, with
    all that happens between the batches. After `fit` the optimizer has its greatest rate again,
    and for another model the time begins anew. A budget that is used up trains no more.

    Args:
        minutes: Positive float, wall-clock minutes.
        learning_rate: Positive float, the greatest rate; that of the optimizer where it is `None`.
            The optimizer must have a number for a rate, not a schedule.
        warmup: Share of the time in which the rate rises, from 0 to less than 1.
        loss_params: Numbers of the loss that follow the clock too: a dictionary from the name of
            one to a pair `(fp, xp)` of values at shares of the time, as in `numpy.interp`.
        spent: Non-negative float, minutes used before, to resume a training. `Backup` keeps it.

    Example:

    >>> import keras, lipot
    >>> import numpy as np
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model.compile(keras.optimizers.SGD(0.1), lipot.losses.GloRo(eps=0.01))
    >>> budget = lipot.callbacks.TimeBudget(
    ...     minutes=0.02, loss_params={"eps": ([0.01, 0.5], [0.0, 0.5])})
    >>> _ = model.fit(np.ones((8, 2)), np.eye(2)[[0, 1] * 4], epochs=10_000, verbose=0,
    ...               callbacks=[budget])
    >>> budget.spent >= 0.02, float(model.loss.eps)
    (True, 0.5)
    """

    progress = ("spent", "learning_rate")

    def __init__(self, minutes, learning_rate=None, warmup=0.0, loss_params=None, spent=0.0):
        super().__init__()
        self.minutes = checks.positive_float("minutes", minutes)
        if learning_rate is not None:
            learning_rate = checks.positive_float("learning_rate", learning_rate)
        self.learning_rate = learning_rate
        self.warmup = checks.nonnegative_float("warmup", warmup)
        if self.warmup >= 1.0:
            raise checks.invalid("warmup", "a share below 1", warmup)
        self.loss_params = _read_courses({} if loss_params is None else loss_params)
        self.spent = checks.nonnegative_float("spent", spent)
        self._clock = self._told = None

    def on_train_begin(self, logs=None):
        if self.learning_rate is None:
            rate = float(self.model.optimizer.learning_rate)
            self.learning_rate = checks.positive_float("learning_rate", rate)
        if self.spent >= self.minutes:
            notices.warn(
                f"The {self.minutes:g} minutes of this TimeBudget are used up: nothing is trained. "
                "Make a new TimeBudget to train longer.",
            )
        for name, (fp, _) in self.loss_params.items():
            check_course(loss_parameter(self.model, name), name, fp)
        self._clock, self._told = time.monotonic(), None

    def on_train_batch_begin(self, batch, logs=None):
        share = self._share()
        rate = self.rate(share)
        changed = self._told is None or abs(rate - self._told) > _RESOLUTION * self.learning_rate
        if changed or share >= 1.0:
            self._tell(rate, share)

    def on_train_batch_end(self, batch, logs=None):
        if self._share() >= 1.0:
            self._tell(0.0, 1.0)
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.model.optimizer.learning_rate = self.learning_rate

    def rate(self, share):
        """The learning rate after a share of the time."""
        # Not zero at the very start: with a long first step nothing would be learned in it.
        rise = (share + 1e-6) / (self.warmup + 1e-6)
        return self.learning_rate * min(1.0, rise) * 0.5 * (1.0 + math.cos(math.pi * share))

    def _share(self):
        now = time.monotonic()
        self.spent += (now - self._clock) / 60.0
        self._clock = now
        return min(self.spent / self.minutes, 1.0)

    def _tell(self, rate, share):
        self.model.optimizer.learning_rate = rate
        self._told = rate
        for name, (fp, xp) in self.loss_params.items():
            loss_parameter(self.model, name).assign(float(np.interp(share, xp, fp)))

    def get_config(self):
        return {
            "minutes": self.minutes,
            "learning_rate": self.learning_rate,
            "warmup": self.warmup,
            "loss_params": {name: list(points) for name, points in self.loss_params.items()},
            "spent": self.spent,
        }


def _read_courses(loss_params):
    """A pair of lists, values and the shares of the time they are reached at, by name."""
    expected = "a dictionary from names to pairs (fp, xp)"
    checks.instance("loss_params", loss_params, dict, expected)
    courses = {}
    for name, pair in loss_params.items():
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise checks.invalid("loss_params", expected, loss_params)
        courses[name] = list(
            read_course(*pair, "loss_params", "increasing shares from 0 to 1", 1.0)
        )
    return courses
