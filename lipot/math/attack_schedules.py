"""When Auto-PGD looks back on its progress, and how large a window Square changes."""

# Ends of the stages of Square, in queries out of 10,000; each halves the share of the pixels.
_SQUARE_STAGES = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


def apgd_windows(steps):
    """Splits the steps of Auto-PGD at its checkpoints.

    The first window is 22% of the steps; each is 3% shorter than the one before, and none is
    shorter than 6%.

    Args:
        steps: Positive integer.

    Returns:
        Tuple of positive integers that add up to `steps`. A checkpoint follows each.

    Reference:
        Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of
        diverse parameter-free attacks", section 3.

    Example:

    >>> apgd_windows(100)
    (22, 19, 16, 13, 10, 7, 6, 6, 1)
    """
    window, shortening, shortest = (max(int(share * steps), 1) for share in (0.22, 0.03, 0.06))
    windows = []
    while steps > 0:
        windows.append(min(window, steps))
        steps -= windows[-1]
        window = max(window - shortening, shortest)
    return tuple(windows)


def square_share(query, queries, first=0.8):
    """Share of the pixels that Square changes at one query.

    It halves at fixed points of a schedule of 10,000 queries, stretched to the number there is.

    Args:
        query: Index of the query, from 0.
        queries: Number of queries in all.
        first: Share at the first query.

    Returns:
        Float in `(0, first]`.

    Reference:
        Andriushchenko et al., "Square Attack: a query-efficient black-box adversarial attack
        via random search", section 5.

    Example:

    >>> [square_share(query, 5000) for query in (0, 10, 100, 4999)]
    [0.8, 0.4, 0.2, 0.0015625]
    """
    position = int(query / queries * 10_000)
    halvings = sum(position > end for end in _SQUARE_STAGES)
    return first / 2**halvings
