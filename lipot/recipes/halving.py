"""Successive halving: many candidates get little time, the best of them more."""

# Candidates of which one is kept for the next rung.
_KEPT_OF = 4


def rung_sizes(count):
    """How many candidates each rung tries, down to at most three.

    Example:

    >>> rung_sizes(24), rung_sizes(3)
    ([24, 6, 2], [3])
    """
    sizes = [count]
    while sizes[-1] > 3:
        # A rung of one would choose nothing.
        sizes.append(max(2, -(-sizes[-1] // _KEPT_OF)))
    return sizes


def successive_halving(candidates, score):
    """Finds the best of some candidates.

    Args:
        candidates: List of anything.
        score: Function of the number of the rung and a candidate; larger is better. It is called
            for each candidate of a rung before any of the next.

    Returns:
        The candidate that scored best on the last rung; the earlier one in the list of two equal.

    Reference:
        Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter
        optimization" (AISTATS 2016).

    Example:

    >>> successive_halving([3, 1, 4, 1, 5], lambda rung, candidate: candidate - rung)
    5
    """
    alive = list(candidates)
    for rung, size in enumerate(rung_sizes(len(alive))):
        scored = [(score(rung, candidate), candidate) for candidate in alive[:size]]
        alive = [candidate for _, candidate in sorted(scored, key=lambda pair: -pair[0])]
    return alive[0]
