"""Certified radii of convex interpolation between the nearest training points."""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from lipot import backend

# Layers whose outputs are affine in their inputs at inference.
_AFFINE = (
    keras.layers.InputLayer,
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Permute,
    keras.layers.Dropout,
    keras.layers.Identity,
    keras.layers.Rescaling,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.BatchNormalization,
)
# Layers that only move values about.
_MOVES = (
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Permute,
    keras.layers.Identity,
)
_EPS = 2.0**-23


class NeighborCertificate(NamedTuple):
    """Radii within which no change of the input changes the predicted class.

    Attributes:
        radius: The smaller of the two below, `(n,)`.
        set_radius: How far the neighbors stay the same, `(n,)`.
        margin_radius: How far the logits stay in order while they do, `(n,)`.
        predictions: Predicted classes, `(n,)`.
        labels: Labels given, `(n,)`, or None.
        slope: Lipschitz constant of each pair of logits' difference is at most `slope` times the
            distance of their rows; here of each output while the neighbors stay, `(units,)`.
    """

    radius: Any
    set_radius: Any
    margin_radius: Any
    predictions: Any
    labels: Any
    slope: Any

    def accuracy(self, eps):
        """Share of inputs predicted right with a radius of at least `eps`."""
        if self.labels is None:
            raise ValueError(
                "Invalid value received for argument `y`. Expected the labels, given to "
                "certify(x, y), to know which predictions are right. Received: y=None."
            )
        return float(np.mean((self.predictions == self.labels) & (self.radius >= eps)))


def certify(
    model, x, y, *, head_lipschitz, embedding_lipschitz, metric_lipschitz, batch_size, spare=64
):
    """Certifies an adapted `OTAD`; see its method of this name for the arguments."""
    if model.solver is not None:
        raise ValueError(
            "A learned solver keeps no Lipschitz bound. Expected an OTAD with solver=None."
        )
    to_query = _factor("embedding", model.embedding, embedding_lipschitz)
    to_code = (
        to_query if model.metric is None else _factor("metric", model.metric, metric_lipschitz)
    )
    smoothness = model.interpolation.query_lipschitz_bound * to_query
    features = model.features(x, batch_size=batch_size).astype("float64")
    logits, lengths, slope = _logits(model, features, head_lipschitz, smoothness)
    parts = [
        _set_radius(model, x[start : start + batch_size], spare)
        for start in range(0, len(x), batch_size)
    ]
    set_radius = np.concatenate(parts) / to_code
    margin_radius = _margin_radius(logits, lengths)
    return NeighborCertificate(
        radius=np.minimum(set_radius, margin_radius),
        set_radius=set_radius,
        margin_radius=margin_radius,
        predictions=_classes(logits),
        labels=None if y is None else np.asarray(y).reshape(-1),
        slope=slope,
    )


def _set_radius(model, x, spare):
    r"""Bounds how far the K nearest stay the K nearest, in the space of the search.

    A point i inside and j outside change places on a plane at the distance
    $(d_j^2 - d_i^2) / (2 |x_i - x_j|) \ge (d_j - d_i) / 2$. Points beyond the `spare` ones that
    are looked at are covered by that last bound.
    """
    count = model.neighbors
    found = model.nearest(ops.convert_to_tensor(x), count + spare)
    indices, distances = (ops.convert_to_numpy(part) for part in found)
    if indices.shape[1] <= count:
        return np.full(len(x), np.inf)
    space = model.memory.search_space()[0]
    points = ops.convert_to_numpy(ops.take(space, indices, axis=0)).astype("float64")
    inside, outside = points[:, :count], points[:, count:]
    apart = np.sqrt(
        np.maximum(
            np.sum(inside**2, -1)[:, :, None]
            + np.sum(outside**2, -1)[:, None]
            - 2.0 * inside @ np.swapaxes(outside, 1, 2),
            0.0,
        )
    )
    squares = distances**2
    gaps = squares[:, None, count:] - squares[:, :count, None]
    radius = np.min(gaps / (2.0 * np.maximum(apart, 1e-300)), axis=(1, 2))
    if indices.shape[1] < model.memory.size:
        radius = np.minimum(radius, (_rest(squares, points) - distances[:, count - 1]) / 2.0)
    return np.maximum(radius * (1.0 - 1e-9), 0.0)


def _rest(squares, points):
    """Lower bound of the distance to every point that was not looked at."""
    # The ranking ran in float32: a sum of d products is off by at most d roundings of its size.
    largest = np.max(np.sum(points**2, axis=-1), axis=1) + squares[:, -1]
    rounding = 8.0 * _EPS * points.shape[-1] * largest
    return np.sqrt(np.maximum(squares[:, -1] - rounding, 0.0))


def _margin_radius(logits, lengths):
    """Distance at which the top logit can first meet another, `min_j (f_top - f_j) / |w|`."""
    if logits.shape[1] == 1:
        # One unit: its sign is the class.
        return np.abs(logits[:, 0]) / np.maximum(lengths[0, 0], 1e-300)
    top = np.argmax(logits, axis=1)
    rows = np.arange(len(logits))
    margins = logits[rows, top][:, None] - logits
    radii = np.maximum(margins, 0.0) / np.maximum(lengths[top], 1e-300)
    radii[rows, top] = np.inf
    return np.min(radii, axis=1)


def _logits(model, features, head_lipschitz, smoothness):
    """Returns logits less their rounding, and how fast each difference of two can change."""
    shape = (-1, *model.memory.sample_shape)
    if head_lipschitz is not None:
        outputs = ops.convert_to_numpy(model.head(features.reshape(shape), training=False))
        units = outputs.shape[1]
        # |g_a - g_b| changes by at most sqrt(2) times what the vector g does.
        factor = 1.0 if units == 1 else np.sqrt(2.0)
        lengths = np.full((units, units), factor * head_lipschitz * smoothness)
        return outputs.astype("float64"), lengths, np.full(units, head_lipschitz * smoothness)
    matrix, offset = _affine_head(model.head, shape)
    logits = features @ matrix.T + offset
    if len(matrix) == 1:
        lengths = np.linalg.norm(matrix)[None, None]
    else:
        lengths = np.linalg.norm(matrix[:, None] - matrix[None], axis=-1)
    return logits, lengths * smoothness, np.linalg.norm(matrix, axis=1) * smoothness


def _affine_head(head, shape):
    """Reads `W` and `b` of an affine head off its derivatives at zero."""
    if not _is_affine(head):
        raise ValueError(
            "Invalid value received for argument `head_lipschitz`. Expected a float, as the head "
            f"'{head.name}' is not made of affine layers alone. Received: head_lipschitz=None."
        )
    zero = np.zeros((1, *shape[1:]), "float32")
    offset = ops.convert_to_numpy(head(zero, training=False))[0]
    rows = [
        ops.convert_to_numpy(
            backend.vjp(
                lambda z: head(z, training=False), zero, np.eye(len(offset), dtype="float32")[[k]]
            )[1]
        ).reshape(-1)
        for k in range(len(offset))
    ]
    return np.stack(rows).astype("float64"), offset.astype("float64")


def _is_affine(operation):
    """Whether a layer is affine. Subclasses are not trusted: they may compute something else."""
    if isinstance(operation, keras.Model):
        # A functional model may hold operations such as `ops.relu(x)` that are no layers.
        sequential = isinstance(operation, keras.Sequential)
        inner = operation.layers if sequential else getattr(operation, "operations", [None])
        runs_them = type(operation).call.__module__.startswith("keras.")
        return runs_them and all(map(_is_affine, inner))
    if type(operation) is keras.layers.Dense:
        return operation.activation is keras.activations.linear
    return type(operation) in _AFFINE


def _classes(logits):
    if logits.shape[1] == 1:
        return (logits[:, 0] > 0.0).astype("int64")
    return np.argmax(logits, axis=1)


def _factor(name, part, value):
    if part is None or type(part) in _MOVES:
        return 1.0
    if value is None:
        raise ValueError(
            f"Invalid value received for argument `{name}_lipschitz`. Expected the Lipschitz "
            f"constant of the {name}, as the model has one. Received: None."
        )
    return float(value)
