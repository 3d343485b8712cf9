"""What every view is: a record of arrays and words that goes to JSON and back."""

import base64
import dataclasses

import numpy as np

from lipot import checks

_KINDS = {}


class DoesNotApply(ValueError):
    """Why a view cannot be made of a model or of its data, in one sentence for the reader."""


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """Base of the views: frozen dataclasses of arrays, numbers, strings and tuples of them."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        _KINDS[cls.__name__] = cls

    def to_dict(self):
        """Returns the record as values that `json.dumps` takes, arrays bit for bit."""
        fields = {f.name: _encoded(getattr(self, f.name)) for f in dataclasses.fields(self)}
        return {"view": type(self).__name__, **fields}

    @staticmethod
    def from_dict(record):
        """Returns the view that `to_dict` made a record of, whichever kind it is.

        Args:
            record: Dict, as from `json.loads`.

        Example:

        >>> View.from_dict(Absent("The inputs are no images.").to_dict())
        Absent(reason='The inputs are no images.')
        """
        kind = record.get("view")
        if kind not in _KINDS:
            raise checks.refused("record", f"a view, one of {sorted(_KINDS)}", f"view={kind!r}")
        fields = {name: _decoded(value) for name, value in record.items() if name != "view"}
        return _KINDS[kind](**fields)


@dataclasses.dataclass(frozen=True, eq=False)
class Absent(View):
    """Stands where a view does not apply.

    Attributes:
        reason: Why not, in one sentence.
    """

    reason: str


def _encoded(value):
    if isinstance(value, np.ndarray):
        # One byte order, so that a record reads the same on every machine.
        plain = np.asarray(value, value.dtype.newbyteorder("<"))
        data = base64.b64encode(plain.tobytes()).decode("ascii")
        return {"dtype": plain.dtype.str, "shape": list(value.shape), "base64": data}
    if isinstance(value, tuple | list):
        return [_encoded(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _decoded(value):
    if isinstance(value, dict):
        array = np.frombuffer(base64.b64decode(value["base64"]), value["dtype"])
        native = array.astype(array.dtype.newbyteorder("="))
        return native.reshape(value["shape"])
    return tuple(_decoded(item) for item in value) if isinstance(value, list) else value
