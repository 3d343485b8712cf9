"""What a view of the page is: a name, how it is computed, and how it is shown."""

from collections.abc import Callable
from typing import NamedTuple


class ViewSpec(NamedTuple):
    """A view that the page knows.

    Attributes:
        name: What `Evaluation.views` calls it.
        title: Heading of its part of the page.
        compute: Callable `(subject)` that returns a `View`, or raises `DoesNotApply`.
        section: Callable `(view, prefix)` that returns a `Section`; every id starts with `prefix`.
    """

    name: str
    title: str
    compute: Callable
    section: Callable
