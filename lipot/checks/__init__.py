"""Checks of arguments, with the grammar of Keras's own errors."""

from lipot.checks.arguments import checked, optional
from lipot.checks.arrays import CLASS_NUMBERS, NUMBERED, array, fits, labels
from lipot.checks.errors import invalid, other_sizes, refused
from lipot.checks.numbers import (
    finite_float,
    integer,
    nonnegative_float,
    nonnegative_int,
    norm,
    pair,
    positive_float,
    positive_int,
    probability,
    seed,
)
from lipot.checks.values import (
    attackable,
    boolean,
    built_model,
    choice,
    data_format,
    folder,
    instance,
    path,
)
