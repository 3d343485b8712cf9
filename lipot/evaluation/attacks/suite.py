"""The attacks of an evaluation: which there are, how strong, and how they are built."""

import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from art.attacks import evasion

from lipot.attacks import AutoAttack
from lipot.evaluation.attacks.hop_skip_jump import StartedHopSkipJump
from lipot.evaluation.attacks.ngopt import NGOptCarlini


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
    """

    name: str
    build: Callable
    settings: dict[str, Any] = {}
    distance_norms: tuple = ()
    needs_gradient: bool = True
    cost: int = 100
    obstacle: Callable = lambda target, norm: None

    def searches_distance(self, norm):
        """Whether one run serves every radius."""
        return norm in self.distance_norms


def resolve(attacks, target, norm):
    """Reads the argument `attacks` of `lipot.evaluate`.

    Args:
        attacks: Name of a suite or an attack, an `AttackSpec`, or a list of attack names and
            `AttackSpec`s.
        target: Estimator under attack.
        norm: `2` or `"inf"`.

    Returns:
        `(specs, left_out)`: the attacks to run, and a dictionary from the name of each attack of
        a suite that cannot run to the reason. An attack asked for by its name must run.
    """
    if isinstance(attacks, str) and attacks in SUITES:
        specs = [ATTACKS[name] for name in SUITES[attacks]]
        reasons = {spec.name: spec.obstacle(target, norm) for spec in specs}
        left_out = {name: reason for name, reason in reasons.items() if reason}
        return tuple(spec for spec in specs if spec.name not in left_out), left_out
    # An AttackSpec is a tuple, but no list of attacks.
    if isinstance(attacks, str | AttackSpec):
        attacks = [attacks]
    if not isinstance(attacks, list | tuple) or not attacks:
        raise _invalid(f"one of {sorted(SUITES)}, an attack or a list of them", repr(attacks))
    specs = tuple(_spec(attack) for attack in attacks)
    names = [spec.name for spec in specs]
    if len(set(names)) < len(names):
        raise _invalid("attacks of different names", str(names))
    for spec in specs:
        if reason := spec.obstacle(target, norm):
            raise _invalid("attacks that fit the model", f"{spec.name!r}. {reason}")
    return specs, {}


def _spec(attack):
    if isinstance(attack, AttackSpec):
        return attack
    if not isinstance(attack, str) or attack not in ATTACKS:
        suites = f"one of the suites {sorted(SUITES)}"
        expected = f"{suites}, names among {sorted(ATTACKS)}, or AttackSpecs"
        raise _invalid(expected, repr(attack))
    return ATTACKS[attack]


def _invalid(expected, received):
    return ValueError(
        f"Invalid value received for argument `attacks`. Expected {expected}. Received: {received}"
    )


def _order(norm):
    return np.inf if norm == "inf" else 2


def _fgsm(target, norm, eps):
    return evasion.FastGradientMethod(target, norm=_order(norm), eps=eps, batch_size=_ALL)


def _pgd(target, norm, eps, *, steps):
    return evasion.ProjectedGradientDescent(
        target,
        norm=_order(norm),
        eps=eps,
        eps_step=2.5 * eps / steps,
        max_iter=steps,
        num_random_init=1,
        batch_size=_ALL,
        verbose=False,
    )


def _mim(target, norm, eps, *, steps):
    return evasion.MomentumIterativeMethod(
        target,
        norm=_order(norm),
        eps=eps,
        eps_step=2.5 * eps / steps,
        decay=1.0,
        max_iter=steps,
        batch_size=_ALL,
        verbose=False,
    )


def _apgd(target, norm, eps, *, steps):
    return _Compiled(target, eps, norm, steps=steps, attacks=("apgd-dlr",))


def _deepfool(target, norm, eps, *, steps):
    # A small overshoot: the crossing is to be found, not passed by two percent.
    return evasion.DeepFool(target, max_iter=steps, epsilon=1e-3, batch_size=_ALL, verbose=False)


def _carlini_wagner(target, norm, eps, *, steps, searches):
    if norm == "inf":
        # ART's l-inf version searches point by point, thousands of calls each. In this norm the
        # literature climbs the margin of Carlini and Wagner by projected gradient instead.
        return _pgd(target.with_loss("margin"), norm, eps, steps=steps * searches)
    return evasion.CarliniL2Method(
        target,
        max_iter=steps,
        binary_search_steps=searches,
        initial_const=1.0,
        batch_size=_ALL,
        verbose=False,
    )


def _auto_attack(target, norm, eps, *, steps, queries):
    return _Compiled(target, eps, norm, steps=steps, queries=queries)


def _square(target, norm, eps, *, queries):
    return _Compiled(target, eps, norm, queries=queries, attacks=("square",))


def _simba(target, norm, eps, *, steps, step_size):
    return evasion.SimBA(
        target.with_probabilities(),
        attack="px",
        max_iter=steps,
        # In l-inf a pixel is moved once, to the end of the ball.
        epsilon=eps if norm == "inf" else step_size,
        verbose=False,
    )


def _hop_skip_jump(target, norm, eps, *, steps, queries):
    return StartedHopSkipJump(
        target,
        norm=_order(norm),
        max_iter=steps,
        max_eval=queries,
        init_eval=min(100, queries),
        batch_size=_ALL,
        verbose=False,
    )


def _ngopt(target, norm, eps, *, budget, sigma):
    return NGOptCarlini(target, budget=budget, sigma=sigma, seed=int(np.random.randint(2**31)))


class _Compiled:
    """`lipot.attacks.AutoAttack` with the interface of an ART attack."""

    def __init__(self, target, eps, norm, **settings):
        seed = int(np.random.randint(2**31))
        # The outputs of `logits_model` are logits whatever they look like.
        self._attack = AutoAttack(eps, norm, outputs="logits", seed=seed, **settings)
        self._victim = target.victim()

    def generate(self, x, y):
        return self._attack.generate(self._victim, x, y)


def _no_image(target, norm):
    return None if len(target.input_shape) == 3 else "It needs images."


def _no_nevergrad(target, norm):
    if importlib.util.find_spec("nevergrad"):
        return None
    return "It needs Nevergrad: pip install 'lipot[reference]'."


# More than any batch: the engine hands over as many points as are to be attacked at once.
_ALL = 65536

ATTACKS = {
    spec.name: spec
    for spec in (
        AttackSpec("fgsm", _fgsm, cost=3),
        AttackSpec("pgd", _pgd, {"steps": 40}, cost=120),
        AttackSpec("mim", _mim, {"steps": 40}, cost=120),
        AttackSpec("apgd", _apgd, {"steps": 100}, cost=400),
        AttackSpec("deepfool", _deepfool, {"steps": 50}, (2, "inf"), cost=500),
        AttackSpec("cw", _carlini_wagner, {"steps": 10, "searches": 6}, (2,), cost=500),
        AttackSpec("autoattack", _auto_attack, {"steps": 100, "queries": 5000}, cost=7000),
        AttackSpec(
            "square",
            _square,
            {"queries": 1000},
            needs_gradient=False,
            cost=1000,
        ),
        AttackSpec(
            "simba",
            _simba,
            {"steps": 200, "step_size": 0.2},
            (2,),
            needs_gradient=False,
            cost=3000,
            obstacle=_no_image,
        ),
        AttackSpec(
            "hopskipjump",
            _hop_skip_jump,
            {"steps": 10, "queries": 500},
            (2, "inf"),
            needs_gradient=False,
            cost=4000,
        ),
        AttackSpec(
            "ngopt",
            _ngopt,
            {"budget": 850, "sigma": 0.1},
            (2, "inf"),
            needs_gradient=False,
            cost=20000,
            obstacle=_no_nevergrad,
        ),
    )
}

# Cheap ones first: what they break need not be attacked again.
SUITES = {
    "quick": ("pgd", "apgd"),
    "standard": (
        *("fgsm", "pgd", "mim", "deepfool", "cw", "autoattack"),
        *("square", "simba", "hopskipjump"),
    ),
}
SUITES["exhaustive"] = (*SUITES["standard"], "ngopt")
