"""Fields of frozen dataclasses that were checked."""

from typing import Any


def set_fields(record: Any, **values: Any) -> None:
    """Gives fields of a frozen dataclass their checked values, from its `__post_init__`.

    A check returns Python's own numbers, which a configuration can hold: NumPy's are not kept.

    Args:
        record: The dataclass.
        **values: New values, by field.

    Example:

    >>> import dataclasses
    >>> @dataclasses.dataclass(frozen=True)
    ... class Side:
    ...     length: int
    ...     def __post_init__(self):
    ...         set_fields(self, length=int(self.length))
    >>> Side(2.0)
    Side(length=2)
    """
    for name, value in values.items():
        object.__setattr__(record, name, value)
