"""Optional packages, and which extra of lipot brings each: `pip install 'lipot[evaluate]'`.

Where lipot is installed, from its folder or an index, that adds the packages to this lipot.
"""

import contextlib
from collections.abc import Iterator

# By the name that is imported; pyproject.toml lists what each extra installs.
EXTRAS = {
    "PIL": "evaluate",
    "art": "evaluate",
    "faiss": "search",
    "jinja2": "evaluate",
    "matplotlib": "plot",
    "multiprocess": "evaluate",
    "nevergrad": "reference",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "pandas": "evaluate",
    "ray": "ray",
    "scipy": "evaluate",
    "sklearn": "evaluate",
    "tensorflow": "tensorflow",
    "tensorflow_datasets": "datasets",
    "tf2onnx": "onnx",
}


@contextlib.contextmanager
def named() -> Iterator[None]:
    """Says in one line which extra is missing, where an import inside the `with` fails.

    Raises:
        ImportError: A package that an extra brings is not installed.

    Example:

    >>> with named():
    ...     raise ModuleNotFoundError("No module named 'art.attacks'", name="art.attacks")
    Traceback (most recent call last):
    ImportError: art is not installed, which this needs: pip install 'lipot[evaluate]'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        raise ImportError(
            f"{package} is not installed, which this needs: pip install 'lipot[{EXTRAS[package]}]'",
            name=package,
        ) from error
