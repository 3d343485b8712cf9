"""Theorem 1 of OTAD against the norm of the true Jacobian."""

import keras
import numpy as np
import pytest
from keras import ops

from lipot.math.attention import attention_lipschitz, attention_lipschitz_of
from tests.helpers import to_numpy


def attend(x, queries, keys, values, output):
    depth = queries.shape[-1] ** 0.5
    heads = [
        ops.matmul(
            ops.softmax(ops.matmul(x @ q, ops.swapaxes(x @ k, -1, -2)) / depth, axis=-1), x @ v
        )
        for q, k, v in zip(queries, keys, values)
    ]
    return ops.matmul(ops.concatenate(heads, axis=-1), output)


def numeric_jacobian_norm(x, weights):
    """Central differences in float64, all directions in one batch."""
    step = 1e-5
    shifts = step * np.eye(x.size).reshape(-1, *x.shape)
    weights = [ops.convert_to_tensor(w) for w in weights]
    above, below = (
        np.asarray(attend(ops.convert_to_tensor(x + sign * shifts), *weights)) for sign in (1, -1)
    )
    return np.linalg.norm(((above - below) / (2 * step)).reshape(x.size, -1), 2)


@pytest.mark.parametrize(
    "tokens, width, heads, scale", [(1, 4, 1, 1.0), (3, 6, 2, 0.3), (5, 4, 4, 2.0)]
)
def test_no_jacobian_exceeds_the_bounds(tokens, width, heads, scale):
    rng = np.random.default_rng(0)
    tightest = np.inf
    for _ in range(20):
        shape = (heads, width, width // heads)
        queries, keys, values = scale * rng.normal(size=(3, *shape))
        output = scale * rng.normal(size=(width, width))
        # One-hot-like rows make the softmax hard, where attention is steepest.
        x = rng.normal(size=(tokens, width)) * 10.0 ** rng.uniform(-2, 0.5)
        weights = (queries, keys, values, output)
        bound = attention_lipschitz_of(*weights, np.linalg.norm(x), tokens)
        largest = max(
            *(np.linalg.norm(m) for stack in (queries, keys, values) for m in stack),
            np.linalg.norm(output),
        )
        norm = numeric_jacobian_norm(x, weights)
        assert norm <= bound * (1 + 1e-6)
        assert bound <= attention_lipschitz(largest, np.linalg.norm(x), tokens, width, heads)
        tightest = min(tightest, bound / norm)
    # A bound that is always orders of magnitude away would pass whatever it said.
    assert tightest < 20.0


def test_formula_by_hand():
    # sqrt(4) * 3^2 * (3^2 / sqrt(8 / 4) * 5^2 * (sqrt(9) + 1) + sqrt(9))
    expected = 2 * 9 * (9 / np.sqrt(2) * 25 * 4 + 3)
    np.testing.assert_allclose(attention_lipschitz(3.0, 5.0, 9, 8, 4), expected)


def test_matches_the_attention_of_keras():
    rng = np.random.default_rng(0)
    layer = keras.layers.MultiHeadAttention(2, 3, use_bias=False)
    x = rng.normal(size=(5, 6)).astype("float32")
    expected = layer(x[None], x[None])
    queries, keys, values, output = (np.asarray(w) for w in layer.get_weights())
    split = [np.transpose(w, (1, 0, 2)) for w in (queries, keys, values)]
    found = attend(x, *split, output.reshape(6, 6))
    np.testing.assert_allclose(to_numpy(found), to_numpy(expected)[0], atol=1e-5)


def test_heads_divide_the_width():
    with pytest.raises(ValueError, match="argument `heads`.*width=5.*heads=2"):
        attention_lipschitz(1.0, 1.0, 3, 5, 2)
