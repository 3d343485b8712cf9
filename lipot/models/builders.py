"""What the arguments of functions that build networks may be: told before a layer is made."""

import functools

import keras

from lipot import checks


def _shape(name, value):
    """A shape without its batch axis, as a tuple of ints, `None` for any size."""
    expected = "the shape of one input, such as (32, 32, 3)"
    try:
        sizes = tuple(n if n is None else checks.positive_int(name, n) for n in tuple(value))
    except (TypeError, ValueError) as error:
        raise checks.invalid(name, expected, value) from error
    # Stock layers would take the rows for channels, and others would not.
    if len(sizes) == 3 and keras.config.image_data_format() != "channels_last":
        raise checks.refused(
            name,
            "keras.config.image_data_format() to be 'channels_last': the networks of lipot take "
            "images of shape (rows, columns, channels)",
            f"'channels_first', for the shape {sizes}",
        )
    return sizes


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

# Makes a function that builds a network check its arguments first: without it a layer inside
# would name an argument of its own, and refuse a size of NumPy's such as `y.max() + 1`.
checked = checks.checked(CHECKS)
