"""The record of one model's evaluation: plain data that survives a trip through JSON."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from lipot import checks
from lipot.attacks.auto_attack import STANDS
from lipot.certificates import holds_within
from lipot.evaluation.record.view import View
from lipot.math.norms import norm_name, radius_name
from lipot.math.proportions import Interval, in_percent, share_interval


class Verdict(NamedTuple):
    """What one sanity check found.

    Attributes:
        name: Short name of the check.
        passed: Whether nothing suspicious was seen; `None` where the check could not be run.
        explanation: What was seen and what it means, in plain words.
    """

    name: str
    passed: bool | None
    explanation: str


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How one model fared on one set of points, in one norm.

    Attributes:
        name: Name of the model.
        norm: `2` or `"inf"`.
        eps: Attack radii, increasing.
        attacks: Names of the attacks in the order they ran.
        labels: `(n,)`, the true classes.
        predictions: `(n,)`, the predicted classes on the clean points.
        broken_by: Dictionary from each radius to an integer array `(n,)`: for each point, the
            index in `attacks` of the first attack that broke it, `STANDS` (-1) where none did,
            or `WRONG` (-2) where the clean point is misclassified already.
        seconds: Dictionary from attack to seconds it took.
        certified_radius: `(n,)` in float64, proven radius of each prediction in `norm`, or
            `None` where there is no certificate.
        certificate_note: How the radii were proven, or why they could not be.
        sanity: `Verdict`s of the sanity checks.
        settings: Everything the outcome depends on, as JSON values.
        versions: Dictionary from package to version.
        views: Dictionary from name to view, what the page draws besides the numbers.
        about: Dictionary of texts about the model: its architecture, parameters, and notes.
        circumstances: Dictionary of texts about the data, the date and the machine.

    Example: of two points that are classified rightly, PGD broke the second.

    >>> classes, broken_by = np.array([0, 1]), {0.5: np.array([STANDS, 0])}
    >>> found = Evaluation("net", 2, (0.5,), ("pgd",), classes, classes, broken_by, {"pgd": 0.1})
    >>> found.clean_accuracy, found.robust_accuracy(0.5), found.broken("pgd", 0.5)
    (1.0, 0.5, 1)
    """

    name: str
    norm: int | str
    eps: tuple
    attacks: tuple
    labels: np.ndarray
    predictions: np.ndarray
    broken_by: dict
    seconds: dict
    certified_radius: np.ndarray | None = None
    certificate_note: str = ""
    sanity: tuple = ()
    settings: dict = dataclasses.field(default_factory=dict)
    versions: dict = dataclasses.field(default_factory=dict)
    views: dict = dataclasses.field(default_factory=dict)
    about: dict = dataclasses.field(default_factory=dict)
    circumstances: dict = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def clean_accuracy(self) -> float:
        """Share of points that are classified rightly before any attack."""
        return float(np.mean(self.predictions == self.labels))

    def robust_accuracy(self, eps: float) -> float:
        """Share of points that every attack of size `eps` left standing, `eps` one of `self.eps`.

        The true share can only be lower: another attack may do better.
        """
        return float(np.mean(self._at(eps) == STANDS))

    def certified_accuracy(self, eps: float) -> float | None:
        """Share of points that are right with a proof at `eps`, any number.

        `None` where there is no certificate.
        """
        if self.certified_radius is None:
            return None
        right = self.predictions == self.labels
        return float(np.mean(right & holds_within(self.certified_radius, eps)))

    def interval(self, accuracy: float | None) -> Interval | None:
        """95 % confidence interval of one of these accuracies, all of them counted on the points.

        It says where the share of the whole distribution lies that the points were drawn from.

        Returns:
            `Interval`; `None` for `None`.
        """
        if accuracy is None:
            return None
        return share_interval(accuracy, len(self))

    @property
    def units(self) -> str:
        """What a radius measures: the norm, and the range of the inputs it is to be held against.

        Of a random model it says how many draws decide. Example: "l2 distance, inputs from 0 to
        255".
        """
        distance = f"{norm_name(self.norm)} distance"
        drawn = f"; random, {self.draws_in_words}" if self.random else ""
        if "data range" not in self.settings:
            return f"{distance}, in units of the inputs{drawn}"
        low, high = self.settings["data range"]
        return f"{distance}, inputs from {low:g} to {high:g}{drawn}"

    @property
    def random(self) -> bool:
        """Whether the model answered differently when it was asked again."""
        return bool(self.settings.get("random model", False))

    @property
    def misses_randomness(self) -> bool:
        """Whether a random model was attacked along single draws, which leads attacks astray."""
        return self.random and self.settings["eot samples"] == 1

    @property
    def draws_in_words(self) -> str:
        """What decides, and what attacks saw: a single draw, or the mean of several."""
        draws = self.settings.get("eot samples", 1)
        return "one draw at a time" if draws == 1 else f"mean of {draws} draws"

    def broken(self, attack: str, eps: float) -> int:
        """Number of points that `attack` was the first to break at `eps`."""
        return int(np.sum(self._at(eps) == self.attacks.index(attack)))

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values; `from_dict` reads them."""
        radius = self.certified_radius
        return {
            "name": self.name,
            "norm": self.norm,
            "eps": list(self.eps),
            "attacks": list(self.attacks),
            "labels": self.labels.tolist(),
            "predictions": self.predictions.tolist(),
            "broken_by": [self.broken_by[eps].tolist() for eps in self.eps],
            "seconds": self.seconds,
            # JSON has no infinity, the radius of a constant model.
            "certified_radius": None if radius is None else [_finite_or_text(r) for r in radius],
            "certificate_note": self.certificate_note,
            "sanity": [verdict._asdict() for verdict in self.sanity],
            "settings": self.settings,
            "versions": self.versions,
            "about": self.about,
            "circumstances": self.circumstances,
            "views": {name: view.to_dict() for name, view in self.views.items()},
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Evaluation":
        """Reads what `to_dict` wrote."""
        eps = tuple(record["eps"])
        radius = record["certified_radius"]
        fields = {
            **record,
            "eps": eps,
            "attacks": tuple(record["attacks"]),
            "labels": np.asarray(record["labels"], "int64"),
            "predictions": np.asarray(record["predictions"], "int64"),
            "broken_by": {
                at: np.asarray(row, "int64") for at, row in zip(eps, record["broken_by"])
            },
            "certified_radius": None if radius is None else np.array([float(r) for r in radius]),
            "sanity": tuple(Verdict(**verdict) for verdict in record["sanity"]),
            "views": {name: View.from_dict(view) for name, view in record["views"].items()},
        }
        return cls(**fields)

    def __repr__(self) -> str:
        robust = ", ".join(
            f"{in_percent(self.robust_accuracy(eps), 1)} % at {radius_name(eps)}"
            for eps in self.eps
        )
        return (
            f"<Evaluation of {self.name!r} on {len(self)} points, norm {self.norm}: "
            f"clean {in_percent(self.clean_accuracy, 1)} %, robust {robust}>"
        )

    def _at(self, eps: float) -> np.ndarray:
        if eps not in self.broken_by:
            raise checks.invalid("eps", f"one of {self.eps}, where '{self.name}' was attacked", eps)
        return self.broken_by[eps]


def _finite_or_text(radius: float) -> float | str:
    return float(radius) if np.isfinite(radius) else str(float(radius))
