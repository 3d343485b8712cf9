"""Nearest points where a hyperplane meets a box."""

from keras import ops

# What the level is set to where no point of the box reaches the hyperplane: every coordinate
# stops at the box.
_EVERYTHING = 1e30


def to_hyperplane_in_box(x, normal, offset, low, high, norm):
    r"""Shortest way from a point of a box to a hyperplane, inside the box.

    $$\min_d \|d\| \quad \text{s.t.} \quad \langle w, x + d \rangle = b, \quad
        \text{low} \leq x + d \leq \text{high}$$

    Where the box does not reach the hyperplane, `d` leads to the corner that comes closest.

    Args:
        x: Points of the box, `(batch, d)`.
        normal: `w`, of shape `(batch, d)`.
        offset: `b`, of shape `(batch,)`.
        low: Smallest value of a coordinate; it may be minus infinity.
        high: Largest value of a coordinate; it may be infinity.
        norm: `"inf"` or 2, the norm that is minimized.

    Returns:
        The shift `d`, shaped like `x`.

    Reference:
        Croce and Hein, "Minimally distorted adversarial examples with a fast adaptive boundary
        attack", section 2.2, who sort the coordinates instead.

    Example:

    >>> from keras import ops
    >>> x, w = ops.array([[0.5, 0.9]]), ops.array([[1.0, 1.0]])
    >>> shift = to_hyperplane_in_box(x, w, ops.array([1.8]), 0.0, 1.0, "inf")
    >>> [round(float(value), 4) for value in shift[0]]
    [0.3, 0.1]
    """
    # The hyperplane is that of any multiple of (w, b), and squares of small ones underflow.
    scale = ops.max(ops.abs(normal), axis=-1)
    scale = ops.where(scale > 0, scale, 1.0)
    normal = normal / scale[:, None]
    missing = offset / scale - ops.sum(normal * x, axis=-1)
    direction = ops.sign(missing)[:, None] * ops.sign(normal)
    room = ops.where(direction > 0, high - x, x - low)
    steepness = ops.abs(normal)
    # Both minima move each coordinate by min(t v_i, room_i) for one level t: with v_i = 1 for
    # l-infinity, and v_i = |w_i| for l2, where the shift follows the normal.
    speed = ops.abs(direction) if norm == "inf" else steepness
    level = _fill(ops.abs(missing), steepness, speed, room)
    return direction * ops.minimum(level[:, None] * speed, room)


def _fill(missing, steepness, speed, room):
    """Solves `sum_i w_i min(t v_i, room_i) = missing` for the smallest `t >= 0`.

    The left side is increasing and concave in `t`, so Newton's iterates rise to the solution from
    the left, and as each passes a breakpoint there are finitely many.
    """
    rate = steepness * speed
    gain = ops.where(steepness > 0, steepness * room, 0.0)

    def newton(level):
        free = room > level[:, None] * speed
        slope = ops.sum(ops.where(free, rate, 0.0), axis=-1)
        rest = missing - ops.sum(ops.where(free, 0.0, gain), axis=-1)
        reached = slope > 0
        following = ops.where(reached, rest / ops.where(reached, slope, 1.0), _EVERYTHING)
        # Nothing is missing where the point lies on the hyperplane.
        return ops.maximum(level, ops.where(missing > 0, following, 0.0))

    def rising(level, following):
        return ops.any(following > level)

    def iterate(level, following):
        return following, newton(following)

    start = ops.zeros_like(missing)
    return ops.while_loop(rising, iterate, (start, newton(start)))[1]
