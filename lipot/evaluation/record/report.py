"""What `lipot.evaluate` and `lipot.compare` return: evaluations side by side."""

import json
import pathlib
from collections.abc import Iterable
from typing import Any

from lipot import checks
from lipot.evaluation import page
from lipot.evaluation.record import curves, tables
from lipot.evaluation.record.result import Evaluation

FORMAT = 1


class RobustnessReport:
    """Evaluations of one or more models, to be read as a table, curves, JSON or a page.

    Attributes:
        evaluations: Tuple of `Evaluation`s.

    Example:

    >>> import keras, lipot, numpy as np
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> x = np.random.default_rng(0).uniform(size=(6, 4)).astype("float32")
    >>> y = model.predict(x, verbose=0).argmax(axis=1)
    >>> report = lipot.evaluate(model, x, y, norm=2, eps=0.1, attacks=["fgsm"], clip_values=(0, 1),
    ...                         sanity=False, views=False, progress=False)
    >>> again = lipot.RobustnessReport.from_json(report.to_json())
    >>> again.table().equals(report.table())
    True
    """

    def __init__(self, evaluations: Iterable[Evaluation]) -> None:
        self.evaluations = tuple(evaluations) if isinstance(evaluations, Iterable) else ()
        if not self.evaluations or not all(isinstance(e, Evaluation) for e in self.evaluations):
            raise checks.invalid("evaluations", "at least one Evaluation", evaluations)

    def table(self, format: str = "pandas", columns: str = "main") -> Any:
        """Lays out accuracies: a row for each model, norm and radius.

        Args:
            format: `"pandas"` for a DataFrame with shares between 0 and 1, and the ends of their
                95 % confidence intervals (Clopper-Pearson) in columns such as `"robust low"`;
                `"terminal"`, `"markdown"` or `"latex"` for text with percentages, whose first
                line says what a radius measures.
            columns: `"main"`, or `"all"` for a column for each attack too: how many points it was
                the first to break.

        Returns:
            A `pandas.DataFrame` or a string.
        """
        return tables.table(self.evaluations, format, columns)

    def plot(self, ax: Any = None) -> Any:
        """Draws accuracy against the radius: empirical as marks, certified as a curve.

        Args:
            ax: Matplotlib axes; new ones by default.

        Returns:
            The axes.
        """
        return curves.plot(self.evaluations, ax)

    def to_json(self, path: str | pathlib.Path | None = None) -> str:
        """Writes the report as JSON.

        Args:
            path: File to write, folders on the way are made; `None` for none.

        Returns:
            The text.
        """
        record = {"format": FORMAT, "evaluations": [e.to_dict() for e in self.evaluations]}
        text = json.dumps(record, allow_nan=False)
        if path is not None:
            path = checks.path("path", path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return text

    @classmethod
    def from_json(cls, source: str | pathlib.Path) -> "RobustnessReport":
        """Reads what `to_json` wrote.

        Args:
            source: Path of a file, or the text itself.

        Returns:
            A `RobustnessReport`.
        """
        if isinstance(source, str) and source.lstrip().startswith("{"):
            content = source.encode()
        else:
            expected = "the path of a file, or the text of a report"
            content = checks.path("source", source, expected).read_bytes()
        try:
            record = json.loads(content)
            written = record["format"]
        except (ValueError, TypeError, KeyError) as error:
            raise checks.refused(
                "source",
                "a report written by `to_json` or `lipot evaluate --json`",
                _in_words(source, content),
            ) from error
        if written != FORMAT:
            raise checks.refused(
                "source",
                f"a report of format {FORMAT}",
                f"format {written}, written by another version of lipot",
            )
        try:
            return cls(Evaluation.from_dict(evaluation) for evaluation in record["evaluations"])
        except (KeyError, TypeError) as error:
            raise checks.refused(
                "source",
                "a whole report",
                f"one of format {FORMAT} that lacks or adds a part ({error})",
            ) from error

    def save_html(self, path: str | pathlib.Path) -> pathlib.Path:
        """Writes one self-contained page.

        Args:
            path: File to write; folders on the way are made.

        Returns:
            The absolute path, a `pathlib.Path`.
        """
        return page.save(self, checks.path("path", path))

    def _repr_html_(self) -> str:
        return tables.notebook(self.evaluations)

    def __repr__(self) -> str:
        return f"<RobustnessReport: {', '.join(repr(e) for e in self.evaluations)}>"


def _in_words(source: str | pathlib.Path, content: bytes) -> str:
    """A source that is no report, in words for an error."""
    if isinstance(source, str) and content == source.encode():
        return f"{source[:60]!r}"
    return f"the file {source}, {len(content)} bytes of something else"
