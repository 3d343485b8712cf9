"""The features before a classifier's last layer, computed batch by batch."""

import dataclasses

import keras
import numpy as np
from keras import ops

from lipot import backend, checks
from lipot.batches import batch_slices
from lipot.math.norms import vector_norm

# From this batch on the models run as compiled programs. To make those takes seconds, as long as
# so many batches save.
_COMPILED_FROM = 32


@dataclasses.dataclass
class Place:
    """Where some points stand among all that are certified.

    A program may differ from a model's own call in the last bit. So what computes a batch is a
    matter of its place alone, and not of how the points came there.

    Attributes:
        before: Number of batches before theirs.
        programs: Compiled models, kept between calls that certify one model nobody changes.
    """

    before: int = 0
    programs: list = dataclasses.field(default_factory=list)


class Features:
    """Computes the features of one batch after the other.

    Args:
        head: A `Head`.
        place: `Place` of the first batch; the first of all by default.
    """

    def __init__(self, head, place=None):
        self._parts = head.features
        self._node = head.node
        self._place = Place() if place is None else place
        self._batches = self._place.before

    def __call__(self, batch):
        """Computes features `(n, m)` in float64.

        Raises:
            ValueError: A compiled model gives something else than the model itself.
        """
        models = [lambda x, part=part: part(x, training=False) for part in self._parts]
        if self._batches >= _COMPILED_FROM:
            if not self._place.programs:
                self._place.programs += self._compiled(models, batch)
            models = self._place.programs
        self._batches += 1
        return _run(models, batch)

    def _compiled(self, models, batch):
        """Programs of models, or raises where they differ from these by more than rounding."""
        programs = [
            backend.compile_over_batches(part, lambda forward, x: forward(x))
            for part in self._parts
        ]
        norm, flat = self._node.norm, batch.reshape(len(batch), -1).astype("float64")
        apart = vector_norm(_run(programs, batch) - _run(models, batch), norm, axis=1)
        # Either is within one error of what is exact; where both overflow nothing is certified.
        if np.any(apart > 2.0 * self._node.computed.error(vector_norm(flat, norm, axis=1))):
            raise checks.refused(
                "model",
                "a model that computes the same in a compiled program, as in `predict`",
                f"features {apart.max():.3g} apart, which rounding does not explain",
            )
        return programs


def _run(models, batch):
    for model in models:
        batch = model(batch)
    # NumPy has no bfloat16; the features of a model in float64 must stay as they are.
    wide = keras.backend.result_type(batch.dtype, "float32")
    return ops.convert_to_numpy(ops.cast(batch, wide)).astype("float64")


def features_of(head, x, batch_size):
    """Runs the models before a `Head`'s last layer; returns `(n, m)` in float64."""
    parts = batch_slices(len(x), batch_size)
    return np.concatenate([Features(head)(x[part]) for part in parts])
