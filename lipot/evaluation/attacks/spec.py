"""What an attack of an evaluation is: its name, how it is built, what it needs."""

from collections.abc import Callable
from typing import Any, NamedTuple

# Names of suites, as an attack lists those it belongs to.
STANDARD = ("standard", "exhaustive")
EXHAUSTIVE = ("exhaustive",)

# More than any batch: the engine hands over as many points as are to be attacked at once.
EVERY_POINT = 65536


class AttackSpec(NamedTuple):
    """An attack that `lipot.evaluate` can run.

    Attacks work on inputs in [0, 1]: radii and step lengths are in these units.

    Attributes:
        name: What the report calls it.
        build: Callable `(target, norm, eps, **settings)` that returns an ART attack, or anything
            with its `generate(x, y)`, on an estimator of `lipot.interop.art.classifier`.
        settings: Keyword arguments of `build`, which the report records.
        distance_norms: Norms in which one run finds a misclassified point as near as it can,
            which counts at every radius beyond, so that it is not run again for each; `eps` is
            the largest radius then.
        needs_gradient: Whether the attack follows input gradients.
        cost: Rough number of model evaluations for each point, to foresee the time left.
        obstacle: Callable `(target, norm)` that says why the attack cannot run, or `None`.
        suites: Names of the suites that it belongs to.

    Example:

    >>> from art.attacks.evasion import FastGradientMethod
    >>> def one_step(target, norm, eps, *, share):
    ...     return FastGradientMethod(target, norm=norm, eps=share * eps)
    >>> half = AttackSpec("half a step", one_step, {"share": 0.5})
    >>> half.needs_gradient, half.searches_distance(norm=2)
    (True, False)
    """

    name: str
    build: Callable
    settings: dict[str, Any] = {}
    distance_norms: tuple = ()
    needs_gradient: bool = True
    cost: int = 100
    obstacle: Callable = lambda target, norm: None
    suites: tuple = ()

    def searches_distance(self, norm):
        """Whether one run serves every radius."""
        return norm in self.distance_norms
