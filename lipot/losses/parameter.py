"""Numbers of a loss, such as `alpha`, that may change while training runs."""

import functools

import numpy as np

from lipot import backend, checks


class Adjustable:
    """Descriptor of a loss argument that compiled training steps see change.

    Reading the attribute gives a `LossParameter`; setting it checks the number, then assigns it.

    Args:
        check: Function of `lipot.checks`, from the name of the argument and a value to a float.

    Example:

    >>> class Scaled:
    ...     factor = Adjustable(checks.positive_float)
    ...     def __init__(self, factor):
    ...         self.factor = factor
    >>> scaled = Scaled(2.0)
    >>> scaled.factor.assign(3.0)     # or scaled.factor = 3.0
    >>> float(scaled.factor)
    3.0
    """

    seen_by_programs = True

    def __init__(self, check):
        self._check = check

    def __set_name__(self, owner, name):
        self._name = name

    def __get__(self, loss, owner=None):
        if loss is None:
            return self
        # Layers of Keras ask for an attribute before they set it.
        if self._name not in vars(loss):
            raise AttributeError(f"{type(loss).__name__} has no {self._name} yet.")
        return vars(loss)[self._name]

    def __set__(self, loss, value):
        if self._name in vars(loss):
            vars(loss)[self._name].assign(value)
        else:
            vars(loss)[self._name] = LossParameter(value, self.check)

    def check(self, value):
        """Returns `value` as a float, or raises an error that names the argument."""
        return self._check(self._name, value)


class LossParameter:
    """A float that compiled training steps read anew at every step.

    Args:
        value: The first value.
        check: Function that returns a valid value as a float and raises for any other.
    """

    def __init__(self, value, check):
        self.check = check
        self._number = check(value)
        self._scalar = backend.adjustable(self._number)

    @property
    def value(self):
        """The scalar tensor to compute with."""
        return self._scalar.read()

    def assign(self, value):
        """Changes the value, for the training step that is compiled as for any other."""
        number = self.check(value)
        self._scalar.assign(number)
        self._number = number

    def numpy(self):
        """The value as a NumPy scalar."""
        return np.float32(self._number)

    def __float__(self):
        return self._number

    def __repr__(self):
        return f"<LossParameter {self._number}>"


def non_negative():
    """A number from 0 on, infinity excluded."""
    return Adjustable(checks.nonnegative_float)


def positive():
    """A number above 0, infinity excluded."""
    return Adjustable(checks.positive_float)


def non_negative_or_infinite():
    """A number from 0 on, infinity included."""
    return Adjustable(functools.partial(checks.nonnegative_float, infinite=True))
