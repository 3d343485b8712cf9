"""What the arguments of functions that build networks may be: told before a layer is made."""

import functools
import inspect

from lipot import checks


def checked(build):
    """Makes a function that builds a network check its arguments first, as `CHECKS` says.

    Without it a layer inside would name an argument of its own. Sizes may be NumPy's, such as
    `y.max() + 1`, which layers of Keras refuse. `None` passes where it is the default.

    Args:
        build: Function that returns a network or its parts.

    Returns:
        The same function with its checks.

    Example:

    >>> @checked
    ... def wide(width):
    ...     return 2 * width
    >>> wide(3)
    6
    """
    signature = inspect.signature(build)

    @functools.wraps(build)
    def run(*args, **kwargs):
        given = signature.bind(*args, **kwargs)
        for name, value in given.arguments.items():
            default = signature.parameters[name].default
            if name in CHECKS and (value is not None or default is not None):
                given.arguments[name] = CHECKS[name](name, value)
        return build(*given.args, **given.kwargs)

    return run


def _shape(name, value):
    """A shape without its batch axis, as a tuple of ints, `None` for any size."""
    expected = "the shape of one input, such as (32, 32, 3)"
    try:
        sizes = tuple(value)
        return tuple(n if n is None else checks.positive_int(name, n) for n in sizes)
    except (TypeError, ValueError) as error:
        raise checks.invalid(name, expected, value) from error


def _widths(name, value):
    """A positive int, or a tuple of them."""
    if isinstance(value, list | tuple):
        return tuple(checks.positive_int(name, width) for width in value)
    return checks.positive_int(name, value)


_share = functools.partial(checks.positive_float, most=1.0)
CHECKS = {
    **dict.fromkeys(("input_shape", "image_shape"), _shape),
    **dict.fromkeys(("classes", "code_size", "dimension", "filters", "width"), checks.positive_int),
    **dict.fromkeys(("blocks", "depth", "heads", "mlp_width", "patch_size"), checks.positive_int),
    **dict.fromkeys(("clip", "first_stddev", "stddev"), checks.positive_float),
    **dict.fromkeys(("weight", "weight_decay"), checks.nonnegative_float),
    **dict.fromkeys(("folded", "shifted"), _share),
    "center": checks.finite_float,
    "dense_layers": checks.nonnegative_int,
    "dropout": checks.probability,
    "units": _widths,
}
