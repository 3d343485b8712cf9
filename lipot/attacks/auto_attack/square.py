"""Square: random search over windows of the image, which needs no gradient."""

from typing import NamedTuple

import numpy as np
from keras import ops

from lipot import backend
from lipot.attacks.auto_attack.image import ImageView
from lipot.attacks.auto_attack.pursuit import beside, parts, pursue, setting
from lipot.math.attack_schedules import square_share
from lipot.math.margins import top_margin
from lipot.math.square_windows import odd_window_sides, tiling, two_bumps, window_sides

# Queries between two looks at which points have fallen.
_CHUNK = 50
_SMALLEST = 1e-12


class SquareState(NamedTuple):
    """A search in progress; every field has one row a point.

    Attributes:
        x: Clean points.
        y: Labels, int32.
        adversarial: The points of the smallest margin so far.
        margin: That margin.
        fooled: Whether those points are misclassified.
        places: Uniform numbers in [0, 1), `(n, queries, 5)`: where the windows lie and how the
            pattern is turned.
        signs: 1 or -1, `(n, queries, channels)`.
    """

    x: np.ndarray
    y: np.ndarray
    adversarial: np.ndarray
    margin: np.ndarray
    fooled: np.ndarray
    places: np.ndarray
    signs: np.ndarray


class Square:
    """Square, compiled over a model: `SquareInf` and `SquareL2` say what a query changes.

    Args:
        victim: `Victim`.
        ball: `Ball`.
        shape: Shape of one point.
        queries: Number of queries.
        batch_size: Points of one call of the model.

    Reference:
        Andriushchenko et al., "Square Attack: a query-efficient black-box adversarial attack
        via random search", algorithm 1.
    """

    def __init__(self, victim, ball, shape, *, queries, batch_size):
        self.ball = ball
        self.view = ImageView.of(shape)
        self.queries = queries
        self._falls = victim.falls
        size = self.view.height, self.view.width
        sides = [self.sides(square_share(query, queries), *size) for query in range(1, queries)]
        # An empty window makes the first query that of the starting points.
        self.windows = [(0, 0), *sorted(set(sides), reverse=True)]
        self.stages = np.array([0, *map(self.windows.index, sides)], "int32")
        self._look = victim.compile(self.look, SquareState, batch_size=batch_size)

    def search(self, x, y, target, *, eps, rng, report):
        """Looks for adversarial examples; `target` is ignored. See `APGD.search`."""
        shift = self.first_shift(len(x), eps, rng).astype("float32")
        clean = ops.convert_to_tensor(x)
        start = self.ball.project(clean + self.view.points(shift), clean, eps)
        state = SquareState(
            x=x,
            y=y,
            adversarial=np.asarray(ops.convert_to_numpy(start)),
            margin=np.full(len(x), np.inf, "float32"),
            fooled=np.zeros(len(x), bool),
            places=np.zeros((len(x), _CHUNK, 5), "float32"),
            signs=np.zeros((len(x), _CHUNK, self.view.channels), "float32"),
        )
        return pursue(state, self._chunks(eps, rng), report)

    def look(self, logits, state, eps, queries, stages):
        """Makes up to `queries[0]` queries within `eps[0]`; stops where no point stands."""

        def runs(query, *state):
            fooled = SquareState(*state).fooled
            return ops.logical_and(query < queries[0], ops.logical_not(ops.all(fooled)))

        def body(query, *state):
            stage = ops.take(stages, query)
            return query + 1, *self._query(logits, SquareState(*state), eps[0], query, stage)

        start = (ops.convert_to_tensor(0, "int32"), *state)
        return SquareState(*backend.repeat_while(runs, body, start)[1:])

    def sides(self, share, height, width):
        """Sides of the window that changes a share of the pixels."""
        raise TypeError(f"{type(self).__name__} must define sides().")

    def first_shift(self, rows, eps, rng):
        """Draws the images that are added to the clean points at the start."""
        raise TypeError(f"{type(self).__name__} must define first_shift().")

    def propose(self, x, points, eps, stage, places, signs):
        """Returns the next images to try, to be projected onto the ball."""
        raise TypeError(f"{type(self).__name__} must define propose().")

    def window(self, stage, places):
        """Windows at random places: `(inside, rows from its top, columns from its left)`."""
        height, width = self.view.height, self.view.width
        sides = ops.take(np.array(self.windows, "int32"), stage, axis=0)
        rows = _from_start(height, sides[0], places[:, 0])[:, :, None]
        columns = _from_start(width, sides[1], places[:, 1])[:, None, :]
        within_rows = ops.logical_and(rows >= 0, rows < sides[0])
        within_columns = ops.logical_and(columns >= 0, columns < sides[1])
        return ops.logical_and(within_rows, within_columns)[..., None], rows, columns

    def _query(self, logits, state, eps, query, stage):
        places, signs = (ops.take(draws, query, axis=1) for draws in (state.places, state.signs))
        x, points = self.view.image(state.x), self.view.image(state.adversarial)
        tried = self.propose(x, points, eps, stage, places, signs[:, None, None, :])
        tried = self.ball.project(self.view.points(tried), state.x, eps)
        values = logits(tried)
        margin = top_margin(ops.one_hot(state.y, values.shape[-1], dtype="float32"), values)
        wrong = self._falls(values, state.y)
        better = ops.logical_or(wrong, margin < state.margin)
        better = ops.logical_and(better, ops.logical_not(state.fooled))
        chosen = beside(better, tried)
        return state._replace(
            adversarial=ops.where(chosen, tried, state.adversarial),
            margin=ops.where(better, margin, state.margin),
            fooled=ops.logical_or(state.fooled, wrong),
        )

    def _chunks(self, eps, rng):
        radius, done = setting(eps, "float32"), 0
        for queries in parts(self.queries, _CHUNK):
            # Always as long, or JAX would compile the last chunk anew.
            stages = np.zeros(_CHUNK, "int32")
            stages[:queries] = self.stages[done : done + queries]
            settings = radius, setting(queries, "int32"), stages
            done += queries
            yield lambda state, s=settings: self._look(_draw(state, rng), *s), done / self.queries


class SquareInf(Square):
    """Square in l-infinity: moves a window by plus or minus two radii and clips to the ball."""

    def sides(self, share, height, width):
        return window_sides(share, height, width)

    def first_shift(self, rows, eps, rng):
        # Stripes: one sign a column and channel, or a coordinate where there is but one column.
        lines = (self.view.height, 1) if self.view.width == 1 else (1, self.view.width)
        signs = rng.integers(0, 2, size=(rows, *lines, self.view.channels)) * 2 - 1
        image = (rows, self.view.height, self.view.width, self.view.channels)
        return np.broadcast_to(eps * signs, image)

    def propose(self, x, points, eps, stage, places, signs):
        inside, _, _ = self.window(stage, places)
        return points + ops.where(inside, 2.0 * eps * signs, 0.0)


class SquareL2(Square):
    """Square in l2: takes the budget of two windows and spends it on a pattern in the first."""

    def __init__(self, victim, ball, shape, *, queries, batch_size):
        super().__init__(victim, ball, shape, queries=queries, batch_size=batch_size)
        self.patterns = np.zeros((len(self.windows), self.view.height, self.view.width), "float32")
        for pattern, (height, width) in zip(self.patterns[1:], self.windows[1:]):
            pattern[:height, :width] = two_bumps(height, width)

    def sides(self, share, height, width):
        return odd_window_sides(share, height, width)

    def first_shift(self, rows, eps, rng):
        height, width, channels = self.view.height, self.view.width, self.view.channels
        (top, tall, down), (left, wide, across) = tiling(height), tiling(width)
        signs = rng.integers(0, 2, size=(rows, down, across, channels)) * 2 - 1
        tiles = np.kron(signs, two_bumps(tall, wide)[None, :, :, None])
        shift = np.zeros((rows, height, width, channels))
        shift[:, top : top + tall * down, left : left + wide * across] = tiles
        norm = np.linalg.norm(shift.reshape(rows, -1), axis=1)
        return eps * shift / norm[:, None, None, None]

    def propose(self, x, points, eps, stage, places, signs):
        shift = points - x
        first, rows, columns = self.window(stage, places[:, :2])
        second, _, _ = self.window(stage, places[:, 2:4])
        both = ops.logical_or(first, second)
        spare = ops.maximum(ops.square(eps) - _energy(shift, (1, 2, 3)), 0.0)
        budget = ops.sqrt(spare / self.view.channels + _energy(_only(both, shift)))
        pattern = self._pattern(stage, first, rows, columns, places[:, 4]) * signs
        kept = _only(first, shift)
        mixed = pattern + kept / (ops.sqrt(_energy(kept)) + _SMALLEST)
        # In a window of one pixel the two may cancel.
        mixed = ops.where(_energy(mixed) > _SMALLEST, mixed, pattern)
        mixed = budget * mixed / (ops.sqrt(_energy(mixed)) + _SMALLEST)
        shift = ops.where(first, mixed, _only(ops.logical_not(second), shift))
        length = ops.sqrt(_energy(shift, (1, 2, 3)))
        return x + shift * (eps / (length + _SMALLEST))

    def _pattern(self, stage, inside, rows, columns, turn):
        width = self.view.width
        upright, turned = rows * width + columns, columns * width + rows
        if width > 1:
            upright = ops.where(turn[:, None, None] < 0.5, upright, turned)
        values = ops.reshape(ops.take(self.patterns, stage, axis=0), (-1,))
        index = ops.where(inside[..., 0], upright, 0)
        return _only(inside, ops.take(values, index)[..., None])


def _draw(state, rng):
    signs = rng.integers(0, 2, size=state.signs.shape) * 2 - 1
    places = rng.random(state.places.shape, dtype="float32")
    return state._replace(places=places, signs=signs.astype("float32"))


def _from_start(length, side, place):
    """Positions `0 .. length - 1` counted from the random start of a window: `(n, length)`."""
    room = ops.cast(length - side + 1, "float32")
    start = ops.cast(ops.floor(place * room), "int32")
    return ops.arange(length, dtype="int32")[None, :] - start[:, None]


def _only(inside, values):
    return ops.where(inside, values, 0.0)


def _energy(values, axes=(1, 2)):
    return ops.sum(ops.square(values), axis=axes, keepdims=True)
