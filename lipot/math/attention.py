"""How fast dot-product self-attention can change on a ball."""

import math

import numpy as np

from lipot import checks


def attention_lipschitz(parameter_bound, input_bound, tokens, width, heads):
    r"""Bounds the Lipschitz constant of multi-head self-attention by the size of its weights.

    For $F(X) = [f^1(X), \dots, f^R(X)]\,W$ with
    $f^r(X) = \text{softmax}(X Q_r (X K_r)^\top / \sqrt{D/R})\, X V_r$, weights of Frobenius norm
    at most $M_\theta$ and inputs of Frobenius norm at most M,

    $$ \text{Lip}(F) \le \sqrt{R}\, M_\theta^2 \left( \frac{M_\theta^2}{\sqrt{D/R}}\, M^2
       (\sqrt{N} + 1) + \sqrt{N} \right). $$

    Args:
        parameter_bound: Largest Frobenius norm among the weight matrices.
        input_bound: Largest Frobenius norm of an input, `(tokens, width)`.
        tokens: N.
        width: D.
        heads: R, a divisor of `width`.

    Returns:
        The bound, a float.

    Reference:
        Gai, Wang and Zhang, "OTAD", theorem 1, equation 21.

    Example:

    >>> attention_lipschitz(1.0, 1.0, tokens=1, width=4, heads=1)
    2.0
    """
    _check_heads(width, heads)
    scores = parameter_bound**2 / math.sqrt(width / heads)
    root = math.sqrt(tokens)
    slope = scores * input_bound**2 * (root + 1.0) + root
    return math.sqrt(heads) * parameter_bound**2 * slope


def attention_lipschitz_of(queries, keys, values, output, input_bound, tokens):
    r"""Bounds the Lipschitz constant of given attention weights, head by head.

    The proof of theorem 1 before the norms are replaced by one number:

    $$ \text{Lip}(F) \le |W|_2 \sqrt{ \sum_r |V_r|_2^2 \left(
       \frac{|K_r Q_r^\top|_2}{\sqrt{D/R}} M^2 (\sqrt{N} + 1) + \sqrt{N} \right)^2 } $$

    Args:
        queries: Array `(heads, width, width / heads)`.
        keys: Likewise.
        values: Likewise.
        output: Array `(width, width)`.
        input_bound: Largest Frobenius norm of an input.
        tokens: N.

    Returns:
        The bound, a float; never more than `attention_lipschitz`.

    Reference:
        Gai, Wang and Zhang, "OTAD", proof of theorem 1.

    Example:

    >>> one = np.ones((1, 1, 1))
    >>> attention_lipschitz_of(one, one, one, one[0], input_bound=1.0, tokens=1)
    3.0
    """
    queries, keys, values, output = (
        np.asarray(array, "float64") for array in (queries, keys, values, output)
    )
    root, depth = math.sqrt(tokens), math.sqrt(queries.shape[-1])
    slopes = [
        np.linalg.norm(v, 2)
        * (np.linalg.norm(k @ q.T, 2) / depth * input_bound**2 * (root + 1.0) + root)
        for q, k, v in zip(queries, keys, values)
    ]
    return float(np.linalg.norm(slopes) * np.linalg.norm(output, 2))


def _check_heads(width, heads):
    if heads < 1 or width % heads:
        raise checks.invalid("heads", f"a divisor of width={width}", heads)
