"""The registry of the attacks: which there are, and which suites they make."""

import importlib

from lipot import checks
from lipot.evaluation.attacks.spec import AttackSpec

# A file of this folder each, in the order in which a suite runs them: cheap ones first, since what
# they break need not be attacked again, and those without gradients last.
_FILES = (
    "fgsm",
    "mim",
    "pgd",
    "apgd",
    "deepfool",
    "cw",
    "autoattack",
    "square",
    "hop_skip_jump",
    "simba",
    "ngopt",
)

_SPECS = [importlib.import_module(f"lipot.evaluation.attacks.{file}").SPEC for file in _FILES]
ATTACKS = {spec.name: spec for spec in _SPECS}
SUITES = {
    suite: tuple(spec.name for spec in _SPECS if suite in spec.suites)
    for suite in ("quick", "standard", "exhaustive")
}


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
    specs = read(attacks)
    reasons = {spec.name: spec.obstacle(target, norm) for spec in specs}
    left_out = {name: reason for name, reason in reasons.items() if reason}
    if _is_suite(attacks):
        return tuple(spec for spec in specs if spec.name not in left_out), left_out
    for name, reason in left_out.items():
        raise checks.refused("attacks", "attacks that fit the model", f"{name!r}. {reason}")
    return specs, {}


def read(attacks):
    """The `AttackSpec`s that the argument `attacks` of `lipot.evaluate` names, for any model."""
    if _is_suite(attacks):
        return tuple(ATTACKS[name] for name in SUITES[attacks])
    # An AttackSpec is a tuple, but no list of attacks.
    if isinstance(attacks, str | AttackSpec):
        attacks = [attacks]
    if not isinstance(attacks, list | tuple) or not attacks:
        raise checks.refused(
            "attacks", f"one of {sorted(SUITES)}, an attack or a list of them", repr(attacks)
        )
    specs = tuple(_spec(attack) for attack in attacks)
    names = [spec.name for spec in specs]
    if len(set(names)) < len(names):
        raise checks.refused("attacks", "attacks of different names", str(names))
    return specs


def _is_suite(attacks):
    return isinstance(attacks, str) and attacks in SUITES


def _spec(attack):
    if isinstance(attack, AttackSpec):
        return attack
    if not isinstance(attack, str) or attack not in ATTACKS:
        suites, names = (", ".join(sorted(known)) for known in (SUITES, ATTACKS))
        expected = f"one of the suites {suites}; names among {names}; or AttackSpec(name, build)"
        raise checks.refused("attacks", expected, repr(attack))
    return ATTACKS[attack]
