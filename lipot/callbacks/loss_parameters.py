"""Callbacks that change and print the numbers of a loss while training runs."""

import keras
import numpy as np

from lipot import checks
from lipot.callbacks.configurable import Configurable
from lipot.callbacks.counts_steps import ActsAtSteps


@keras.saving.register_keras_serializable(package="lipot")
class LossParamScheduler(ActsAtSteps):
    """Changes a number of the loss while training runs, by linear interpolation.

    Before training step `s` the parameter becomes `numpy.interp(s, xp, fp)`: constant before
    the first and after the last point. With `steps_per_execution` above 1 Keras calls it once for
    so many steps, and all of them train with the value of the first.

    Args:
        param_name: Name of the parameter, such as `"alpha"`; the loss must keep it where
            compiled steps see it change, as the losses of lipot do.
        fp: List of floats, values at the steps `xp`.
        xp: Increasing steps.
        step: Non-negative int, first step, to resume a training. `Backup` keeps it.

    Example:

    >>> import keras, lipot
    >>> import numpy as np
    >>> model = keras.Sequential([keras.Input((2,)), lipot.layers.SpectralDense(1)])
    >>> model.compile("sgd", lipot.losses.HKR(alpha=1.0))
    >>> scheduler = lipot.callbacks.LossParamScheduler("alpha", fp=[1.0, 50.0], xp=[0, 7])
    >>> _ = model.fit(np.ones((8, 2)), np.array([1, -1] * 4), batch_size=1, verbose=0,
    ...               callbacks=[scheduler])
    >>> float(model.loss.alpha)
    50.0
    """

    def __init__(self, param_name, fp, xp, step=0):
        super().__init__(step)
        self.param_name = _check_name(param_name)
        self.fp, self.xp = read_course(fp, xp, "xp", "increasing steps")

    def on_train_begin(self, logs=None):
        check_course(self._parameter(), self.param_name, self.fp)

    def _at_step(self, batch):
        self._parameter().assign(float(np.interp(self._position(batch), self.xp, self.fp)))

    def _parameter(self):
        return loss_parameter(self.model, self.param_name)

    def _position(self, batch):
        return self.step

    def get_config(self):
        return {
            "param_name": self.param_name,
            "fp": self.fp,
            "xp": self.xp,
            "step": self.step,
        }


@keras.saving.register_keras_serializable(package="lipot")
class LossParamLog(Configurable):
    """Prints a number of the loss after an epoch, and adds it to the epoch's logs.

    Args:
        param_name: Name of the parameter, such as `"alpha"`.
        rate: Positive int: every how many epochs to print. The logs have it in every epoch, as
            `{loss}_{param_name}`.

    Example:

    >>> import keras, lipot
    >>> import numpy as np
    >>> model = keras.Sequential([keras.Input((2,)), lipot.layers.SpectralDense(1)])
    >>> model.compile("sgd", lipot.losses.HKR(alpha=5.0))
    >>> log = lipot.callbacks.LossParamLog("alpha")
    >>> history = model.fit(np.ones((8, 2)), np.array([1, -1] * 4), verbose=0, callbacks=[log])
    HKR.alpha = 5.0
    >>> history.history["HKR_alpha"]
    [5.0]
    """

    def __init__(self, param_name, rate=1):
        super().__init__()
        self.param_name = _check_name(param_name)
        self.rate = checks.positive_int("rate", rate)

    def on_train_begin(self, logs=None):
        loss_parameter(self.model, self.param_name)

    def on_epoch_end(self, epoch, logs=None):
        model = self.model
        value = float(loss_parameter(model, self.param_name))
        if logs is not None:
            logs[f"{model.loss.name}_{self.param_name}"] = value
        if epoch % self.rate == 0:
            print(f"{model.loss.name}.{self.param_name} = {value}")

    def get_config(self):
        return {"param_name": self.param_name, "rate": self.rate}


def loss_parameter(model, name):
    """The parameter of the loss that a model is compiled with, or an error that names it."""
    loss = getattr(model, "loss", None)
    if not isinstance(loss, keras.losses.Loss) or not hasattr(loss, name):
        raise checks.refused(
            "param_name",
            "an attribute of the one keras.losses.Loss that the model is compiled with",
            f"param_name={name!r}, loss={loss!r}",
        )
    return getattr(loss, name)


def read_course(fp, xp, name, expected, most=np.inf):
    """Returns the values of a course and where they are reached, as lists of floats.

    Args:
        fp: List of floats, the values.
        xp: Where they are reached, from 0 to `most`, or from anywhere where that is infinite.
        name: Argument to name in an error.
        expected: What it must hold, in words.
        most: The last place there is.
    """
    places, fp = _numbers(name, xp), _numbers("fp", fp)
    inside = (most == np.inf or places[0] >= 0.0) and places[-1] <= most
    if not inside or len(fp) != len(places) or np.any(np.diff(places) <= 0):
        raise checks.refused(name, f"{expected}, one for each of the {len(fp)} values", str(places))
    return fp, places


def _check_name(param_name):
    return checks.instance("param_name", param_name, str, "the name of a number of the loss")


def _numbers(name, values):
    """A list of one finite float or more."""
    expected = "a list of finite numbers"
    if not len(checks.array(name, values, expected)):
        raise checks.invalid(name, expected, values)
    return [checks.finite_float(name, value) for value in values]


def check_course(parameter, name, values):
    """Raises where a training could not give a parameter each of some values."""
    if not hasattr(parameter, "assign"):
        raise checks.invalid(
            "param_name",
            "a parameter with a method `assign`, such as a keras.Variable: a compiled step would "
            "not see any other change",
            name,
        )
    for value in values:
        getattr(parameter, "check", float)(value)
