"""Certificates of points that are certified in parts, by one process or by several."""

import dataclasses

import numpy as np

from lipot.batches import Points
from lipot.certificates.features import Place
from lipot.workers import Pool

# Points that a worker certifies in one go, and that travel to it.
_ROWS = 4096


def by_workers(prove, model, x, y, batch_size, workers, norm, settings):
    """Certifies points by workers; see `lipot.certify` for the arguments after the first.

    Args:
        prove: Function of a module that certifies points, with these arguments but `workers`, and
            the `Place` of the points.

    Returns:
        The `Certificate` that one process gives.
    """
    points = Points(x, y)
    # Whole batches, so that each is the one that a single process runs.
    batches = -(-_ROWS // batch_size)
    jobs = (
        (prove, *chunk, batch_size, norm, settings, number * batches)
        for number, chunk in enumerate(points.batches(batches * batch_size))
    )
    with Pool(workers, model, _prepared, most=points.count()) as pool:
        found = sorted(pool.map(_certified, jobs), key=lambda result: result[0])
    return joined([certificate for _, certificate, _ in found])


def joined(certificates):
    """One certificate of the points of several, of one model."""
    first = certificates[0]
    columns = {
        name: np.concatenate([getattr(certificate, name) for certificate in certificates])
        for name in ("radius", "predictions", "correct", "rounding")
        if getattr(first, name) is not None
    }
    neighbors = first.neighbors
    if neighbors is not None:
        parts = [certificate.neighbors for certificate in certificates]
        neighbors = neighbors._replace(
            set_radius=np.concatenate([part.set_radius for part in parts]),
            margin_radius=np.concatenate([part.margin_radius for part in parts]),
        )
    proofs = [certificate.proof for certificate in certificates]
    return dataclasses.replace(first, **columns, neighbors=neighbors, proof=max(proofs, key=len))


def _prepared(model):
    return model, []


def _certified(prepared, prove, x, y, batch_size, norm, settings, before):
    model, programs = prepared
    return prove(model, x, y, batch_size, norm, settings, Place(before, programs))
