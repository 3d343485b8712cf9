"""The sentences of the page: what the numbers say, in plain words."""

from lipot.math.norms import norm_name, radius_name
from lipot.math.proportions import in_percent


def verdict(evaluation):
    """One evaluation in a sentence or two, at the middle of its radii.

    Args:
        evaluation: `lipot.evaluation.Evaluation`.

    Returns:
        String.
    """
    eps = headline_eps(evaluation)
    sentence = (
        f"{evaluation.name} gets {percent(evaluation.clean_accuracy)} of {len(evaluation)} points "
        f"right. When an attacker may move each input by {ball(eps, evaluation.norm)}, "
        f"{percent(evaluation.robust_accuracy(eps))} stay right under "
        f"{attacks_in_words(evaluation)}"
    )
    if evaluation.random:
        sentence += f" (the model is random; attacks and decisions take {_draws(evaluation)})"
    if evaluation.certified_radius is None:
        return f"{sentence}; nothing is proven."
    return f"{sentence}, and {percent(evaluation.certified_accuracy(eps))} provably do."


def standing(evaluation):
    """How far the accuracy under attack may be trusted: the CSS class of what `trust` says."""
    results = {verdict.passed for verdict in evaluation.sanity}
    if False in results or evaluation.misses_randomness:
        return "suspicious"
    return "tested" if True in results else "untested"


def trust(evaluation):
    """What the sanity checks mean for the numbers, in one sentence."""
    ran = [check for check in evaluation.sanity if check.passed is not None]
    failed = [check for check in ran if not check.passed]
    if evaluation.misses_randomness:
        return (
            "Do not rely on the accuracy under attack: the model is random, and attacks that see "
            "one draw at a time say little about it. Evaluate it with eot_samples of 16 or more."
        )
    if not ran:
        return "No sanity check was run: the accuracy under attack is an upper bound, untested."
    if failed:
        return (
            f"Do not rely on the accuracy under attack: {len(failed)} of {len(ran)} sanity checks "
            "failed, so stronger attacks than these probably exist."
        )
    left = len(evaluation.sanity) - len(ran)
    return (
        f"{len(ran)} of {len(ran)} sanity checks passed: no sign that the network merely hides "
        f"from the attacks.{f' {left} could not be run.' if left else ''}"
    )


def _draws(evaluation):
    words = evaluation.draws_in_words
    return f"the {words}" if words.startswith("mean") else words


def headline_eps(evaluation):
    """The radius the page speaks about: the middle one.

    Example:

    >>> from types import SimpleNamespace
    >>> headline_eps(SimpleNamespace(eps=(0.25, 0.5, 1.0)))
    0.5
    """
    return evaluation.eps[len(evaluation.eps) // 2]


def ball(eps, norm):
    """A radius and its norm in words.

    Example:

    >>> ball(8 / 255, "inf")
    '8/255 in l-infinity'
    """
    return f"{radius_name(eps)} in {norm_name(norm)}"


def attack_of(eps):
    """An attack of a radius in words.

    Example:

    >>> attack_of(8 / 255)
    'under attack of 8/255'
    """
    return f"under attack of {radius_name(eps)}"


def attacks_in_words(evaluation):
    """Names the attacks where they are few, counts them where they are many.

    Example:

    >>> from types import SimpleNamespace
    >>> attacks_in_words(SimpleNamespace(attacks=("fgsm", "pgd")))
    'the worse of fgsm and pgd'
    """
    names = evaluation.attacks
    if len(names) == 1:
        return names[0]
    if len(names) == 2:
        return f"the worse of {names[0]} and {names[1]}"
    return f"the worst of {len(names)} attacks"


def listed(names):
    """Joins names with commas and a last "and".

    Example:

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def percent(share):
    """A share as a percentage.

    Example:

    >>> percent(0.1234), percent(0.9999)
    ('12.3 %', '99.99 %')
    """
    return f"{in_percent(share, 1)} %"


def percents(interval):
    """The ends of an `Interval` as percentages.

    Example:

    >>> percents((0.1234, 0.5))
    '12.3 – 50.0'
    """
    return " – ".join(in_percent(end, 1) for end in interval)


def describe_curve(evaluation):
    """The curve of one evaluation as text, for those who cannot see it."""
    points = [f"{percent(evaluation.clean_accuracy)} without attack"]
    for eps in evaluation.eps:
        proven = evaluation.certified_accuracy(eps)
        more = "" if proven is None else f", {percent(proven)} proven"
        points.append(f"{percent(evaluation.robust_accuracy(eps))} at {radius_name(eps)}{more}")
    return f"{evaluation.name}: {'; '.join(points)}."
