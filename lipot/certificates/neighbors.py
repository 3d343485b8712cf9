r"""Certified radii of convex interpolation between the nearest training points.

While a query keeps its neighbors, its feature moves at most L times as far as the query, whatever
the potentials. So within the smaller of two radii the predicted class is the same: that within
which the neighbors stay, and that within which the head keeps its logits in order. What rounding
can do to the query, to the search, to the interpolation and to the head is taken from both.
"""

import math
from typing import NamedTuple

import numpy as np
from keras import ops

from lipot import backend, checks
from lipot.batches import INPUTS, batch_slices
from lipot.certificates.certificate import Certificate, register_certifier
from lipot.certificates.classifier import check_inputs
from lipot.certificates.feature_head import feature_head
from lipot.certificates.neighbor_sets import set_radii
from lipot.certificates.part import Part, bounded_part
from lipot.certificates.weights import check_finite
from lipot.checks import positive_int
from lipot.layers.convex_interpolation import ConvexInterpolation
from lipot.layers.layer_bounds import check_unreplaced
from lipot.layers.model_calls import changes_of_the_call, check_model
from lipot.math.precision import widest_float
from lipot.math.proportions import in_percent
from lipot.math.rounding import SINGLE, float_format, rounded_down
from lipot.models.neighbor_memory import NeighborMemory
from lipot.models.otad import OTAD
from lipot.models.search import SEARCHES


class NeighborRadii(NamedTuple):
    """What the radii of an `OTAD` are made of.

    Attributes:
        set_radius: How far the neighbors stay the same, `(n,)`.
        margin_radius: How far the logits stay in order while they do, `(n,)`.
        slope: Lipschitz constant of each output while the neighbors stay, `(units,)`.
    """

    set_radius: np.ndarray
    margin_radius: np.ndarray
    slope: np.ndarray

    def scaled(self, factor):
        """The same radii in another unit."""
        return NeighborRadii(
            set_radius=self.set_radius * factor,
            margin_radius=self.margin_radius * factor,
            # A quotient rounds to the nearest number, and a bound must not be below.
            slope=np.nextafter(self.slope / factor, np.inf),
        )

    def summary(self):
        """Describes both radii in one line."""
        return (
            f"median radius of the neighbors {np.median(self.set_radius):.4g}, "
            f"of the margins {np.median(self.margin_radius):.4g}"
        )


class _Parts(NamedTuple):
    """What goes before the interpolation, and before the search."""

    query: Part
    code: Part


class _Radii(NamedTuple):
    """Certified radii `(n,)`, what rounding took from each, and the parts of both."""

    radius: np.ndarray
    rounding: np.ndarray
    neighbors: NeighborRadii


@register_certifier(OTAD)
def _certify_neighbors(
    model,
    x,
    y,
    batch_size,
    *,
    head_lipschitz=None,
    embedding_lipschitz=None,
    metric_lipschitz=None,
    spare=64,
):
    _check_model(model)
    _check_search(model, x, batch_size)
    spare = positive_int("spare", spare)
    x = checks.array("x", x, INPUTS)
    x = check_inputs(x, _input_shape(model, x))
    query = bounded_part("embedding", model.embedding, embedding_lipschitz, x.shape[1:])
    code = query
    if model.metric is not None:
        code = bounded_part("metric", model.metric, metric_lipschitz, x.shape[1:])
    features = model.features(x, batch_size=batch_size)
    shaped = features.reshape(-1, *model.memory.sample_shape)
    head = feature_head(model.head, shaped, head_lipschitz, batch_size)
    labels = None if y is None else checks.labels(y, len(x), len(head.slope))
    found = _radii(model, x, head, features, _Parts(query, code), spare, batch_size)
    return Certificate(
        radius=found.radius,
        predictions=head.predictions,
        correct=None if labels is None else head.predictions == labels,
        lipschitz=np.inf,
        rounding=found.rounding,
        proof=_proof(
            head_lipschitz=head_lipschitz,
            embedding_lipschitz=embedding_lipschitz,
            metric_lipschitz=metric_lipschitz,
        ),
        neighbors=found.neighbors,
    )


def _input_shape(model, x):
    """Shape that inputs must have, as far as the stored points say."""
    if model.embedding is None:
        return (None, *model.memory.sample_shape)
    return (None,) * max(x.ndim, 2)


def _proof(**constants):
    """What the radii were proven from, the constants that were given included."""
    given = [name for name, constant in constants.items() if constant is not None]
    told = f", with {' and '.join(given)} as given" if given else ""
    return f"where its neighbors may change and its logits may cross{told}"


def _radii(model, x, head, features, parts, spare, batch_size):
    query, code = parts
    sizes = np.linalg.norm(x.reshape(len(x), -1).astype("float64"), axis=1)
    behind = model.neighborhoods(x, batch_size=batch_size)
    moved = _set_motion(model, x, behind.indices, spare, batch_size)
    set_radius = (moved.proven - code.motion(sizes)) / code.speed
    smoothness = model.interpolation.query_lipschitz_bound * (1.0 + 1e-6)
    margin_radius = _margin_motion(model, x, head, features, behind, batch_size)
    margin_radius = (margin_radius - query.motion(sizes)) / query.speed
    set_radius, margin_radius = rounded_down(set_radius), rounded_down(margin_radius)
    radius = np.minimum(set_radius, margin_radius)
    radius = rounded_down(np.minimum(radius, min(query.reach, code.reach) - sizes))
    exact = np.minimum(
        moved.exact / max(code.lipschitz, 1e-300),
        (head.radius + head.rounding) / max(smoothness * query.lipschitz, 1e-300),
    )
    rounding = np.where(np.isfinite(exact), np.maximum(exact - radius, 0.0), 0.0)
    slope = head.slope * smoothness * query.lipschitz
    return _Radii(radius, rounding, NeighborRadii(set_radius, margin_radius, slope))


def _check_model(model):
    parts = (model.interpolation, ConvexInterpolation), (model.memory, NeighborMemory)
    changed = [part.name for part, known in parts if type(part) is not known]
    changed += changes_of_the_call(type(model), OTAD)
    if changed:
        raise checks.refused(
            "model",
            "an OTAD that answers as OTAD does",
            f"{type(model).__name__} '{model.name}' with its own {changed}",
        )
    check_model(model)
    for part, _ in parts:
        check_unreplaced(part)
    if model.solver is not None:
        raise ValueError(
            "Invalid value received for argument `model`. A learned solver keeps no Lipschitz "
            f"bound. Expected an OTAD with solver=None. Received: one with '{model.solver.name}'"
        )
    if not model.memory.size:
        raise checks.refused(
            "model",
            "an OTAD that holds training points: call adapt() first",
            f"'{model.name}', which holds none",
        )
    check_finite(model)


def _check_search(model, x, batch_size):
    if SEARCHES[model.search].approximate:
        # Even where it finds the neighbors of a point, it may miss those of the moved point.
        found = model.recall(x, batch_size=batch_size)
        raise checks.refused(
            "model",
            'an OTAD whose search misses no neighbor, such as model.with_search("exact")',
            f"one with search={model.search!r}, which finds {in_percent(found, 1)} % of the "
            "neighbors of these points.",
        )


def _set_motion(model, x, found, spare, batch_size):
    """Motion of a code, before it is centered, that the neighbors stand."""
    codes, norms = model.memory.search_arrays()
    queries = model.codes(x, batch_size=batch_size)
    motion = set_radii(codes, norms, queries, found, spare)
    # Centering rounds once at the point and once at the moved point.
    sizes = np.linalg.norm(queries.astype("float64"), axis=1)
    tiny = math.sqrt(codes.shape[1]) * float_format("float32").smallest
    unit = SINGLE * (1.0 + 1e-6)
    return motion._replace(proven=motion.proven * (1.0 - unit) - 2.0 * (unit * sizes + tiny))


def _margin_motion(model, x, head, features, behind, batch_size):
    r"""Motion of a query that the logits stand while the neighbors stay.

    The simplex solver stops within a gap $\delta$ of the optimum, which is $1/M$-strongly concave
    in the feature: it is off by at most $\sqrt{2 M \delta}$. Inner products of the data that are
    off by a relative $d\,u$ do the same, and sums of K of them along a path. Nothing is proven
    where the solver left a larger gap than rounding can make, nor where last bits decide how far
    the conditions (15) are relaxed: another program of the same model may have other ones. That
    it leaves no larger gap at a moved point is assumed.
    """
    layer = model.interpolation
    queries = model.queries(x, batch_size=batch_size).astype("float64")
    bend = layer.smoothness - layer.convexity
    bend = bend + behind.steps * (layer.smoothness_step + layer.convexity_step)
    parts = batch_slices(len(x), batch_size)
    settled = backend.compile(layer.settled)
    around = [_around(model, queries[p], behind.indices[p], bend[p], settled) for p in parts]
    size, sure = (np.concatenate(column) for column in zip(*around))
    resolution = 2.0 * float_format(widest_float()).roundoff
    terms = 64.0 + 4.0 * (queries.shape[1] + behind.indices.shape[1])
    loose = 2.0 * math.sqrt(8.0 * terms * resolution)
    left = 2.0 * (layer.smoothness - layer.convexity) * np.maximum(behind.gap, 0.0)
    sure = sure & (np.sqrt(left) <= 0.5 * loose * size)
    norms = np.linalg.norm(features.reshape(len(features), -1).astype("float64"), axis=1)
    room = head.radius * (1.0 - 2.0 * SINGLE) - 2.0 * (1.0 + 1e-6) * SINGLE * norms
    room = np.where(sure, room - loose * size, 0.0)
    return room / (layer.query_lipschitz_bound * (1.0 + 1e-6) + loose * bend)


def _around(model, queries, indices, bend, settled):
    """Size of what the solver is shown of each query, and whether all programs relax alike."""
    stored = model.memory.take(np.sort(indices, axis=1).astype("int32"))
    return _extent(model, queries, stored, bend), ops.convert_to_numpy(settled(*stored))


def _extent(model, queries, stored, bend):
    points, slopes = (ops.convert_to_numpy(part).astype("float64") for part in stored)
    spread = 2.0 * _farthest(points - points[:, :1])
    size = 2.0 * _farthest(slopes - slopes[:, :1]) + abs(model.interpolation.convexity) * spread
    return size + bend * (spread + _farthest(queries[:, None] - points))


def _farthest(shifts):
    return np.max(np.linalg.norm(shifts, axis=2), axis=1)
