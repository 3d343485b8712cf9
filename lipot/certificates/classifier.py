"""The certificate of a Keras classifier whose graph is known."""

import dataclasses

import keras
import numpy as np
from keras import ops

from lipot import checks
from lipot.batches import INPUTS, Points, is_dataset, with_shape
from lipot.certificates.certificate import Certificate, register_certifier
from lipot.certificates.features import Features
from lipot.certificates.graph import graph_of
from lipot.certificates.head import find_head
from lipot.certificates.node import computed_input_node
from lipot.certificates.optimized_graphs import check_programs
from lipot.certificates.radius import radii
from lipot.certificates.shared import joined
from lipot.certificates.weights import check_finite
from lipot.math.classes import classes_of
from lipot.math.norms import vector_norm


def check_inputs(x, expected):
    """Returns inputs as an array of finite numbers of a shape with `None` for any size."""
    x = check_shape(checks.array("x", x, INPUTS), expected)
    if x.dtype.kind not in "biuf" or not np.all(np.isfinite(x)):
        bad = "" if x.dtype.kind not in "biuf" else f", {np.sum(~np.isfinite(x))} not finite"
        raise checks.refused("x", "finite numbers", f"dtype {x.dtype}{bad}")
    if x.dtype.kind in "iu" and np.any(ops.convert_to_numpy(ops.convert_to_tensor(x)) != x):
        raise checks.refused(
            "x", "integers that the backend can hold, or floating point numbers", f"dtype {x.dtype}"
        )
    return x


def check_shape(x, expected):
    """Returns an array, or raises unless its shape fits one with `None` for any size."""
    if not checks.fits(x.shape, (None, *expected[1:])) or len(x) == 0:
        raise checks.refused("x", f"at least one sample and shape {expected}", f"shape {x.shape}")
    return x


@register_certifier(keras.Model)
def certify_graph(model, x, y, batch_size, *, norm=2, place=None):
    """Certifies a model by a walk over its graph; see `lipot.certify`."""
    core = graph_of(model)
    if len(core.inputs) != 1:
        raise checks.refused("model", "a model with one input", f"{len(core.inputs)} inputs")
    expected = tuple(core.inputs[0].shape)
    if not is_dataset(x):
        x = check_shape(checks.array("x", x, INPUTS), expected)
    points = Points(x, y if is_dataset(x) else None)
    check_finite(model)
    # A data set may give images of another size in another pass.
    shape, batches = with_shape(points.batches(batch_size))
    heads = _heads(model, core.inputs[0], (None, *shape), norm)
    check_programs(core, (None, *shape))
    units = len(heads[0].bias)
    labels = None if y is None else checks.labels(y, len(x), units)
    # Heads of one model differ in their constants alone.
    run, parts, given = Features(heads[0], place), [], []
    for batch, truth in batches:
        parts.append(_certify_batch(heads, run, check_inputs(batch, expected)))
        given.append(truth)
    certificate = joined(parts)
    if given[0] is not None:
        labels = checks.labels(np.concatenate(given), len(certificate), units)
    if labels is None:
        return certificate
    return dataclasses.replace(certificate, correct=certificate.predictions == labels)


def _heads(model, tensor, shape, norm):
    """A model taken apart with its constants in a norm; for l-infinity in both, where both work."""
    heads, errors = [], []
    for kind in (2,) if norm == 2 else ("inf", 2):
        try:
            inputs = [computed_input_node(tensor, shape, kind)]
            heads.append(find_head(model, inputs))
        except ValueError as error:
            errors.append(error)
    if not heads:
        raise errors[0]
    return heads


def _certify_batch(heads, run, x):
    """Certificate of some points, in l-infinity by the better of two where there are two."""
    features, flat = run(x), x.reshape(len(x), -1).astype("float64")
    found = [_from_head(head, features, flat) for head in heads]
    return found[0] if len(found) == 1 else _larger(*found, flat.shape[1])


def _from_head(head, features, flat):
    """The certificate of a model taken apart, in l-infinity if its constants are."""
    norm = head.node.norm
    found = radii(head, features, vector_norm(flat, norm, axis=1))
    return Certificate(
        radius=found.radius,
        predictions=classes_of(found.logits),
        correct=None,
        lipschitz=head.node.lipschitz,
        rounding=found.rounding,
        norm=norm,
    )


def _larger(linf, l2, values):
    """The larger radius of two certificates of the same predictions, in l-infinity."""
    other = l2.in_linf(values)
    better = other.radius > linf.radius
    return dataclasses.replace(
        linf,
        radius=np.where(better, other.radius, linf.radius),
        rounding=np.where(better, other.rounding, linf.rounding),
        lipschitz=min(linf.lipschitz, other.lipschitz),
        proof=", or ".join([linf.proof, *([other.proof] if np.any(better) else [])]),
    )
