"""How far computed features can move before the head that reads them changes its class."""

import math
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from lipot import checks
from lipot.batches import batch_slices
from lipot.certificates.features import features_of
from lipot.certificates.graph import graph_of
from lipot.certificates.head import find_head
from lipot.certificates.node import computed_input_node
from lipot.certificates.optimized_graphs import check_programs
from lipot.certificates.part import bounded_part
from lipot.certificates.radius import radii
from lipot.math.classes import classes_of
from lipot.math.rounding import UP, rounded_down


class FeatureHead(NamedTuple):
    """What a head does with features.

    Attributes:
        radius: Motion of the computed features that it stands, `(n,)`.
        rounding: What rounding took from that, `(n,)`.
        predictions: Class numbers `(n,)`.
        slope: Lipschitz constant of each output, `(units,)`.
    """

    radius: np.ndarray
    rounding: np.ndarray
    predictions: np.ndarray
    slope: np.ndarray


def feature_head(layer, features, given, batch_size):
    """Bounds a head by its graph, or by a constant of its outputs where that is given.

    Args:
        layer: The head, a Keras layer or model.
        features: Computed features, shaped as the head takes them, `(n, ...)`.
        given: Lipschitz constant from the features to the outputs, or `None`.
        batch_size: Features sent through the head at once.

    Returns:
        `FeatureHead`.
    """
    shape = features.shape[1:]
    inputs = keras.Input(shape)
    try:
        whole = keras.Model(inputs, layer(inputs))
        head = find_head(whole, [computed_input_node(inputs, (None, *shape))])
        check_programs(graph_of(whole), (None, *shape))
    except (TypeError, ValueError):
        head = None
    norms = np.linalg.norm(features.reshape(len(features), -1).astype("float64"), axis=1)
    if head is None or given is not None:
        part = bounded_part("head", layer, given, shape)
        outputs = _outputs(layer, features, batch_size)
        if head is None and outputs.shape[1] == 1:
            # A sigmoid in it would put the boundary at one half.
            raise checks.refused(
                "model",
                "a head whose last layer is linear or a sigmoid, or one of two outputs and more: "
                "whether the sign of the one output is the class is not known",
                f"head '{layer.name}'",
            )
        # The one class of a sigmoid begins at one half.
        sigmoid = head is not None and head.squashed and len(head.bias) == 1
        return _of_outputs(outputs - 0.5 if sigmoid else outputs, norms, part)
    found = radii(head, features_of(head, features, batch_size), norms)
    slope = np.linalg.norm(head.kernel, axis=0) * head.node.lipschitz * head.scale
    return FeatureHead(found.radius, found.rounding, classes_of(found.logits), slope)


def _outputs(layer, features, batch_size):
    parts = [layer(features[p], training=False) for p in batch_slices(len(features), batch_size)]
    return np.concatenate([ops.convert_to_numpy(part) for part in parts]).astype("float64")


def _of_outputs(outputs, norms, part):
    """What is known of a head from a constant of its outputs alone, the `Part` that it is."""
    units = outputs.shape[1]
    # |g_a - g_b| changes by at most sqrt(2) times what the vector g does.
    factor = (1.0 if units == 1 else math.sqrt(2.0)) * UP
    if units == 1:
        margins = np.abs(outputs[:, 0])
    else:
        best = np.sort(outputs, axis=1)
        margins = best[:, -1] - best[:, -2]
    exact = margins / (factor * part.lipschitz)
    radius = (margins - factor * part.motion(norms)) / (factor * part.speed)
    radius = rounded_down(np.minimum(radius, part.reach - norms))
    return FeatureHead(radius, exact - radius, classes_of(outputs), np.full(units, part.lipschitz))
